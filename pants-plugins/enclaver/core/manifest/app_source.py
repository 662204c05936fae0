"""``sources.app``: a Docker reference, or under Pants the address of a target.

The two cannot be confused: an address starts with ``//`` or ``:``, and no Docker reference does.
Docker's grammar is that of github.com/distribution/reference; Pants' is in its docs under "target addresses".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from enclaver.core.manifest.problems import TextError, quote


class AppKind(Enum):
    """What ``sources.app`` names."""

    ADDRESS = "address"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class AppSource:
    """What ``sources.app`` names, as the manifest writes it."""

    kind: AppKind
    value: str


_LONGEST_REPOSITORY = 255
_LONGEST = 1024
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

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
    if "://" in text:
        raise TextError(f"{quote(text)} is a URL, not a Docker reference", f"write {quote(text.partition('://')[2])}")
    rest, at, digest = text.partition("@")
    if at and not digest_allowed:
        raise TextError("an image that is yet to be built has no digest", "write `name:tag` without the `@...`")
    if at and not (_SHA256.fullmatch(digest) if digest.startswith("sha256:") else _DIGEST.fullmatch(digest)):
        raise TextError(
            f"the digest of {quote(text)} is malformed", "write `@sha256:` and the digest's 64 hexadecimal digits"
        )
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise TextError(
            f"the tag of {quote(text)} is malformed",
            "a tag has letters, digits, `_`, `.` and `-`, and at most 128 of them",
        )
    repository = head + slash + last
    if not _is_repository(repository):
        raise TextError(f"{quote(text)} is not a Docker reference", _repository_cure(text, repository))


def _is_repository(text: str) -> bool:
    if not text or len(text) > _LONGEST_REPOSITORY:
        return False
    first, slash, rest = text.partition("/")
    # Docker takes the first part for a registry's host when it cannot be part of a path, or is localhost.
    if slash and (first == "localhost" or not _COMPONENT.fullmatch(first) or "." in first):
        return bool(_DOMAIN.fullmatch(first)) and all(map(_COMPONENT.fullmatch, rest.split("/")))
    return all(map(_COMPONENT.fullmatch, text.split("/")))


def _repository_cure(text: str, repository: str) -> str:
    lower = repository.lower()
    if lower != repository and _is_repository(lower):
        return f"Docker's names have no capital letters: write {quote(lower + text[len(repository) :])}"
    return "write `registry.example.com/path/name:tag`, or `//path:name` for a Pants target"
