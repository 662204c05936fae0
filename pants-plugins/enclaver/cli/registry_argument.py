"""The one thing about registries that docker's configuration does not say: which may be spoken with by plain http."""

from __future__ import annotations

import argparse

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import reference


def add(parser: argparse.ArgumentParser) -> None:
    """Add --insecure-registry."""
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        type=_host,
        metavar="HOST",
        help="a registry that may be spoken with by plain http, with its port (may be given several times; "
        "one on this machine always may)",
    )


def _host(text: str) -> str:
    """Return a host that references can have; any other would be no registry's, and change nothing."""
    try:
        known = reference.parse(f"{text}/x").registry == text
    except EnclaverError:
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"{text!r} is no registry's host, such as registry.example.com:5000")
    return text
