"""References to images: ``[host[:port]/]path[:tag][@digest]``, and what Docker takes a short one for.

Source: github.com/distribution/reference, regexp.go and normalize.go.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.problems import TextError, quote
from enclaver.core.oci import digest as digests
from enclaver.core.oci.digest import Digest

DOCKER_HUB: Final = "docker.io"
_OLD_DOCKER_HUB: Final = "index.docker.io"
_OFFICIAL: Final = "library"
_DEFAULT_TAG: Final = "latest"

_LONGEST_REPOSITORY: Final = 255
_LONGEST: Final = 1024
_HOST_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(
    rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[(?P<address>[0-9A-Fa-f:]+)\])(?::(?P<port>[0-9]{{1,5}}))?"
)
_PORTS: Final = range(1, 1 << 16)
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_ID: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference, complete: ``str()`` is its one spelling, however short it was written.

    Args:
        registry: a host, with a port if one was given; ``docker.io`` where none was.
        repository: the path there.
        tag: None where only a digest was given; ``latest`` where nothing was.
        digest: of a manifest or an index; it goes before the tag.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The shortest spelling that Docker takes for the same: as people and daemons write it."""
        name = self.name
        if self.registry == DOCKER_HUB:
            first, _, rest = self.repository.partition("/")
            short = rest if first == _OFFICIAL and "/" not in rest else self.repository
            # A path that reads as a host, or as an image's id, keeps what says that it is none.
            name = name if _has_host(short) or _IMAGE_ID.fullmatch(short) else short
        return name + self._version()

    def __str__(self) -> str:
        return self.name + self._version()

    def _version(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return tag if self.digest is None else f"{tag}@{self.digest}"


def parse(text: str) -> Reference:
    """Parse a reference.

    Raises:
        EnclaverError: the text is none.
    """
    try:
        return read(text)
    except TextError as error:
        raise EnclaverError(error.message, cure=f"{error.cure[0].upper()}{error.cure[1:]}.") from error


def read(text: str) -> Reference:
    """Parse a reference that stands in a file, at a place that the caller knows.

    Raises:
        TextError: the text is none.
    """
    if len(text) > _LONGEST:
        raise TextError(f"{quote(text)} is too long to name an image", f"use at most {_LONGEST} characters")
    if "://" in text:
        raise TextError(f"{quote(text)} is a URL, not a Docker reference", f"write {quote(text.partition('://')[2])}")
    rest, at, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    found = _digest(text, digest) if at else None
    if colon and not _TAG.fullmatch(tag):
        raise TextError(
            f"the tag of {quote(text)} is malformed",
            "a tag has letters, digits, `_`, `.` and `-`, and at most 128 of them",
        )
    written = head + slash + last
    if not _is_repository(written):
        raise TextError(f"{quote(text)} is not a Docker reference", _repository_cure(text, written))
    if _IMAGE_ID.fullmatch(written):
        raise TextError(f"{quote(text)} is an image's id, not its name", "write a name that the image has")
    return Reference(*_complete(written), tag if colon else None if at else _DEFAULT_TAG, found)


def _digest(text: str, digest: str) -> Digest:
    try:
        return digests.parse(digest)
    except EnclaverError as error:
        raise TextError(
            f"the digest of {quote(text)} is malformed", "write `@sha256:` and the digest's 64 hexadecimal digits"
        ) from error


def _has_host(text: str) -> bool:
    """Whether a name's first part is a registry's host: it cannot be part of a path, or is localhost."""
    first, slash, _ = text.partition("/")
    return bool(slash) and (first == "localhost" or not _COMPONENT.fullmatch(first) or "." in first)


def _is_host(text: str) -> bool:
    """Whether it can be connected to: a name or an address, and a port that there is."""
    match = _DOMAIN.fullmatch(text)
    if match is None or (match["port"] and int(match["port"]) not in _PORTS):
        return False
    try:
        ipaddress.IPv6Address(match["address"] or "::")
    except ValueError:
        return False
    return True


def _is_repository(text: str) -> bool:
    if not text or len(text) > _LONGEST_REPOSITORY:
        return False
    first, _, rest = text.partition("/")
    if _has_host(text):
        return _is_host(first) and all(map(_COMPONENT.fullmatch, rest.split("/")))
    return all(map(_COMPONENT.fullmatch, text.split("/")))


def _complete(text: str) -> tuple[str, str]:
    """Return a checked name's registry and repository."""
    registry, _, repository = text.partition("/") if _has_host(text) else (DOCKER_HUB, "", text)
    if registry == _OLD_DOCKER_HUB:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"{_OFFICIAL}/{repository}"
    return registry, repository


def _repository_cure(text: str, repository: str) -> str:
    lower = repository.lower()
    if lower != repository and _is_repository(lower):
        return f"Docker's names have no capital letters: write {quote(lower + text[len(repository) :])}"
    return "write `registry.example.com/path/name:tag`, or `//path:name` for a Pants target"
