"""The ``[enclaver]`` options."""

from __future__ import annotations

from pants.option.option_types import DictOption, StrListOption, StrOption
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
    nitro_cli = DictOption[str](
        help=softwrap(
            """
            The `nitro-cli` program of an architecture, as the address of a `file` (or of what makes one):
            `{"x86_64": "//tools:nitro-cli"}`. It goes into target images, whose runner then works on Nitro, and
            `builder="nitro-cli"` runs it; without one that builder runs what is in PATH.
            """
        ),
    )
    vhost_device_vsock = StrOption(
        default=None,
        help=softwrap(
            """
            The `vhost-device-vsock` program (x86_64) that a target image with `emulator=True` needs beside QEMU, as the
            address of a `file` (or of what makes one). Debian has no package of it; `cargo install vhost-device-vsock`
            makes it.
            """
        ),
    )
    insecure_registries = StrListOption(
        help=softwrap(
            """
            Registries of container images, each a host with its port, that may be spoken with by plain http. One on
            this machine always may.
            """
        ),
    )
    env_vars = StrListOption(
        default=[
            *("AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_DEFAULT_REGION"),
            *("AWS_EC2_METADATA_DISABLED", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_KMS", "AWS_PROFILE", "AWS_REGION"),
            *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
            *("DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY"),
            *("HOME", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "PATH", "http_proxy", "https_proxy", "no_proxy"),
        ],
        help=softwrap(
            """
            Environment variables of whatever speaks to a docker daemon, a registry or AWS: `NAME`, taken from your own,
            or `NAME=value`. They change no image. Programs that hold credentials, and the files they read, are found
            through them; a secret itself is better left out, since Pants keeps the variables of what it runs.
            """
        ),
    )
    interpreter_constraints = StrListOption(
        advanced=True,
        default=["CPython>=3.11,<3.15"],
        help="The Python that the build's own steps run on. It changes no byte of an image.",
    )
