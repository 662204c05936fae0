"""The kernel's source lock: which Debian source package the kernel is built from, by digest.

JSON, ``{"version": 1, "kernel_version": "6.12.117", "package": {...}}``; the package is an object as in a
Debian lock. Reading is strict, since the file decides which kernel is measured.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from enclaver.core.debian.lock import Package, package_json, parse_package
from enclaver.core.errors import EnclaverError
from enclaver.core.strict_json import canonical_json

LOCK_VERSION: Final = 1
_KEYS: Final = ("version", "kernel_version", "package")
_KERNEL_VERSION: Final = re.compile(r"(?P<series>[0-9]+\.[0-9]+)\.[0-9]+")
_AR_HEAD: Final = re.compile(rb"!<arch>\ndebian-binary   (?P<time>[0-9]{1,12}) {0,11}")
_CURE: Final = "docs/kernel.md says what the file holds and how to move to another kernel."


@dataclass(frozen=True, slots=True)
class SourceLock:
    """The kernel's version, such as ``6.12.117``, and the package of Debian that holds its source."""

    kernel_version: str
    package: Package

    @property
    def tarball(self) -> str:
        """Where the source lies in the package, relative to its root."""
        return f"usr/src/{self.package.name}.tar.xz"


def parse(text: bytes, file: str) -> SourceLock:
    """Read a source lock; ``file`` is its name as the user gave it. Raises EnclaverError."""
    document = _document(text, file)
    version = document["version"]
    if version != LOCK_VERSION or isinstance(version, bool):
        _fail(file, "version", f"only version {LOCK_VERSION} of the kernel's source lock is known")
    kernel_version = document["kernel_version"]
    match = _KERNEL_VERSION.fullmatch(kernel_version) if isinstance(kernel_version, str) else None
    if match is None:
        _fail(file, "kernel_version", f"{kernel_version!r} is not a kernel version such as 6.12.117")
    package = parse_package(document["package"], file=file, place="package")
    if package.name != f"linux-source-{match['series']}":
        _fail(file, "package.name", f"{package.name!r} is not linux-source-{match['series']}")
    if not package.version.startswith(f"{kernel_version}-"):
        _fail(file, "package.version", f"{package.version!r} is not a package of kernel {kernel_version}")
    return SourceLock(kernel_version, package)


def load(path: Path) -> SourceLock:
    """Read a source lock from a file. Raises EnclaverError, also when the file can't be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EnclaverError(
            f"the kernel's source lock cannot be read: {error.strerror}", file=str(path), cure=_CURE
        ) from error
    return parse(text, str(path))


def build_time(deb: bytes, file: str) -> int:
    """Return the time that a package carries, in seconds since 1970, which is that of its last changelog entry.

    dpkg-deb writes it into the header of every member of the ar archive (ar(5); the first header follows the
    magic, with 16 bytes of name and 12 of decimal time). It is part of what the digest pins, so a kernel can say
    it was built then.

    Args:
        deb: the package's first bytes, 60 at least.
        file: its name, for errors.

    Raises:
        EnclaverError: it is no Debian package.
    """
    head = _AR_HEAD.match(deb)
    if head is None:
        raise EnclaverError("this is not a Debian package", file=file, cure="Remove the file and fetch it again.")
    return int(head["time"])


def render(lock: SourceLock) -> bytes:
    """Return the canonical bytes of a source lock; ``parse`` of them gives an equal one."""
    return canonical_json(
        {
            "version": LOCK_VERSION,
            "kernel_version": lock.kernel_version,
            "package": package_json(lock.package),
        }
    )


def _document(text: bytes, file: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                _fail(file, f"key {key!r}", "the key is given twice in one object")
        return dict(pairs)

    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        _fail(file, f"line {error.lineno}, column {error.colno}", f"this is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:  # Not UTF-8, an endless number, nested without end.
        _fail(file, None, f"this is not JSON that can be read: {error}")
    if not isinstance(document, dict) or set(document) != set(_KEYS):
        _fail(file, None, f"expected an object with the keys {', '.join(_KEYS)} and no others")
    return document


def _fail(file: str, place: str | None, what: str) -> NoReturn:
    raise EnclaverError(what, file=file, place=place, cure=_CURE)
