"""``sources.app``: a Docker reference, or under Pants the address of a target.

The two cannot be confused: an address starts with ``//`` or ``:``, and no Docker reference does.
Docker's grammar is in core/oci/reference.py; Pants' is in its docs under "target addresses".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from enclaver.core.manifest.problems import TextError, quote
from enclaver.core.oci import reference


class AppKind(Enum):
    """What ``sources.app`` names."""

    ADDRESS = "address"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class AppSource:
    """What ``sources.app`` names, as the manifest writes it."""

    kind: AppKind
    value: str


_LONGEST = 1024
_PATH = r"[^\s:#@/]+(?:/[^\s:#@/]+)*"
_ADDRESS = re.compile(
    rf"(?://(?P<path>{_PATH})?)?(?::(?P<name>[^\s:#@/]+))?(?:#(?P<generated>[^\s:#@]+))?"
    r"(?:@(?P<parameters>[^\s:#@=,]+=[^\s:#@=,]+(?:,[^\s:#@=,]+=[^\s:#@=,]+)*))?"
)


def parse_app_source(text: str) -> AppSource:
    """Classify and check ``sources.app``.

    Raises:
        TextError: the text is neither.
    """
    if len(text) > _LONGEST:
        raise TextError(f"{quote(text)} is too long to name an image or a target", f"use at most {_LONGEST} characters")
    if text.startswith(("//", ":")):
        _check_address(text)
        return AppSource(AppKind.ADDRESS, text)
    check_image_reference(text)
    return AppSource(AppKind.IMAGE, text)


def _check_address(text: str) -> None:
    found = _ADDRESS.fullmatch(text)
    if found is None or (found["path"] is None and found["name"] is None):
        raise TextError(
            f"{quote(text)} is not the address of a Pants target",
            "write `:name` for a target of this folder, or `//path/to/folder:name`",
        )
    if found["path"] is not None and {".", ".."} & set(found["path"].split("/")):
        raise TextError(f"the address {quote(text)} has a relative part", "write the path from the repository's root")


def check_image_reference(text: str, *, digest_allowed: bool = True) -> None:
    """Check a Docker reference: ``[host[:port]/]path[:tag][@sha256:digest]``.

    Raises:
        TextError: the text is none, or has a digest where only a name can be.
    """
    found = reference.read(text)
    if found.digest is not None and not digest_allowed:
        raise TextError("an image that is yet to be built has no digest", "write `name:tag` without the `@...`")
