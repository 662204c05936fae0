"""The ``[enclaver]`` options."""

from __future__ import annotations

from pants.option.option_types import DictOption, StrListOption
from pants.option.subsystem import Subsystem
from pants.util.strutil import softwrap


class EnclaverSubsystem(Subsystem):
    options_scope = "enclaver"
    help = "Builds AWS Nitro Enclaves images (EIF) from Enclaver manifests."

    default_base = DictOption[str](
        help=softwrap(
            """
            The `enclave_base` that an `enclave_image` without a `base` of its own stands on, by architecture:
            `{"x86_64": "//3rdparty/debian:python-app-amd64"}`. Addresses are from the build root.
            """
        ),
    )
    default_kernel = DictOption[str](
        help=softwrap(
            """
            The `enclave_kernel` of an `enclave_image` without a `kernel` of its own, by architecture. There is no
            silent fallback: an image whose kernel is named nowhere is an error.
            """
        ),
    )
    mirrors = StrListOption(
        help=softwrap(
            """
            Debian mirrors to fetch packages from, best first, each the base URL of an archive (what `pool/` lies
            in). Every byte is checked against the lock, so a mirror need not be trusted. Without any, the
            machine's own apt sources serve, and last the public snapshot archive.
            """
        ),
    )
    interpreter_constraints = StrListOption(
        advanced=True,
        default=["CPython>=3.11,<3.15"],
        help="The Python that the build's own steps run on. It changes no byte of an image.",
    )
