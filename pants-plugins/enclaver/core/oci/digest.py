"""Digests as images name their parts. Source: OCI image-spec, descriptor.md, "Digests"."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import Content

_FORM: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_LENGTHS: Final = {"sha256": 64, "sha512": 128}
_HEX: Final = re.compile(r"[0-9a-f]+")
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Digest:
    """A checked digest: ``sha256:`` or ``sha512:`` and lower-case hexadecimal."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    def hasher(self) -> hashlib._Hash:
        """Return a new hash object of its algorithm."""
        return hashlib.new(self.algorithm)


def parse(text: str) -> Digest:
    """Parse a digest.

    Raises:
        EnclaverError: it is none, or of an algorithm that is not known. What is returned is safe as a file's name.
    """
    if not _FORM.fullmatch(text):
        raise EnclaverError(f"{text[:_SHOWN]!a} is no digest, such as sha256:0123...")
    algorithm, _, value = text.partition(":")
    if algorithm not in _LENGTHS:
        raise EnclaverError(f"the digest algorithm {algorithm[:_SHOWN]} is not known; sha256 and sha512 are")
    if len(value) != _LENGTHS[algorithm] or not _HEX.fullmatch(value):
        raise EnclaverError(f"{text[:_SHOWN]} is no {algorithm} digest: it takes {_LENGTHS[algorithm]} of 0-9 and a-f")
    return Digest(algorithm, value)


def of(content: Content, algorithm: str = "sha256") -> Digest:
    """Return a content's digest. Raises EnclaverError when it cannot be read."""
    hasher = hashlib.new(algorithm)
    for chunk in content.chunks():
        hasher.update(chunk)
    return Digest(algorithm, hasher.hexdigest())


def check(expected: Digest, found: str, what: str) -> None:
    """Refuse a blob that is not what its digest says.

    Args:
        expected: what the image says.
        found: in hexadecimal, of the same algorithm.
        what: names the blob in the error.
    """
    if expected.hex != found:
        raise EnclaverError(
            f"{what} is not what the image says: its digest is {expected.algorithm}:{found}, not {expected}",
            cure="The file is damaged or was changed. Save or pull the image again.",
        )
