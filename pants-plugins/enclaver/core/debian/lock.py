"""The Debian lock: which packages, by digest, a tree is made of. It names no host and no time.

The file is JSON (``{"version": 1, "suite", "architecture", "requested", "packages"}``), written canonically:
keys sorted, packages sorted by name, two spaces of indent, ASCII, one trailing newline. Reading is strict,
since the file decides which bytes are measured: unknown keys, wrong types, a digest that is none, a path that
leaves the archive or packages out of order are refused with the place and the cure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.strict_json import Reader, canonical_json, kind

LOCK_VERSION: Final = 1
ARCHIVES: Final = ("debian", "debian-security")
ARCHITECTURES: Final = ("amd64", "arm64")
# No package of Debian comes near; the bound keeps a mistyped size from being taken for a download.
MAX_PACKAGE_SIZE: Final = 16 << 30

# Debian policy, 5.6.7 (names), 5.6.12 (versions) and 5.6.1; suites are the names under dists/.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION: Final = re.compile(r"(?:[0-9]+:)?[0-9][A-Za-z0-9.+~:-]*")
_SUITE: Final = re.compile(r"[a-z][a-z0-9.-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PATH_PART: Final = re.compile(r"[A-Za-z0-9+._~:%@-]+")
_CURE: Final = "Make the lock again with `enclaver lock debian`; it is not meant to be edited by hand."


@dataclass(frozen=True, slots=True)
class Package:
    """One .deb, pinned.

    ``path`` is relative to the root of ``archive`` ("debian" or "debian-security"), ``size`` is in bytes,
    ``sha256`` is lower-case hex, ``architecture`` is the package's own ("all" for data and scripts).
    """

    name: str
    version: str
    architecture: str
    archive: str
    path: str
    sha256: str
    size: int

    @property
    def label(self) -> str:
        """``name=version``, as messages and origins show it."""
        return f"{self.name}={self.version}"


@dataclass(frozen=True, slots=True)
class Lock:
    """A closed set of packages of one suite and architecture; ``packages`` is sorted by name."""

    suite: str
    architecture: str
    requested: tuple[str, ...]
    packages: tuple[Package, ...]


def parse_package(value: Any, *, file: str, place: str, architecture: str | None = None, cure: str = _CURE) -> Package:
    """A package object of a lock (also of a kernel source lock) as a Package.

    ``place`` is how errors name where the object stands, such as ``packages[3]``. With ``architecture`` the
    package must be of that architecture or of "all". ``cure`` is what errors advise. Raises EnclaverError.
    """
    read = Reader(file, cure)
    fields = read.object(value, place, Package.__dataclass_fields__)
    allowed = ("all", architecture) if architecture else ("all", *ARCHITECTURES)
    return Package(
        name=read.text(fields["name"], f"{place}.name", _NAME, "a package name"),
        version=read.text(fields["version"], f"{place}.version", _VERSION, "a package version"),
        architecture=read.choice(fields["architecture"], f"{place}.architecture", allowed),
        archive=read.choice(fields["archive"], f"{place}.archive", ARCHIVES),
        path=_path(read, fields["path"], f"{place}.path"),
        sha256=read.text(fields["sha256"], f"{place}.sha256", _SHA256, "64 lower-case hex digits"),
        size=read.integer(fields["size"], f"{place}.size", 1, MAX_PACKAGE_SIZE),
    )


def _path(read: Reader, value: Any, place: str) -> str:
    if not isinstance(value, str):
        read.fail(place, f"expected a path inside the archive, found {kind(value)}")
    parts = value.split("/")
    if not value.endswith(".deb") or any(p in (".", "..") or not _PATH_PART.fullmatch(p) for p in parts):
        read.fail(place, f"{value!r} is not a relative path of a .deb inside the archive")
    return value


def package_json(package: Package) -> dict[str, str | int]:
    """The JSON object of a package, in a lock's shape."""
    return {key: getattr(package, key) for key in Package.__dataclass_fields__}


def parse(text: bytes, file: str) -> Lock:
    """The lock in ``text``; ``file`` is its name as the user gave it. Raises EnclaverError."""
    read = Reader(file, _CURE)
    keys = ("version", "suite", "architecture", "requested", "packages")
    document = read.object(read.document(text), None, keys)
    if document["version"] != LOCK_VERSION or isinstance(document["version"], bool):
        read.fail("version", f"only version {LOCK_VERSION} of the lock format is known")
    suite = read.text(document["suite"], "suite", _SUITE, "a suite's name")
    architecture = read.choice(document["architecture"], "architecture", ARCHITECTURES)
    requested = [
        _requested(read, item, f"requested[{index}]")
        for index, item in enumerate(read.array(document["requested"], "requested"))
    ]
    read.ordered(requested, lambda index: f"requested[{index}]")
    packages = [
        parse_package(item, file=file, place=f"packages[{index}]", architecture=architecture)
        for index, item in enumerate(read.array(document["packages"], "packages"))
    ]
    read.ordered([package.name for package in packages], lambda index: f"packages[{index}].name")
    for index, name in enumerate(requested):
        if not any(package.name == name.partition("=")[0] for package in packages):
            read.fail(f"requested[{index}]", f"{name!r} is requested, but not among the packages")
    return Lock(suite, architecture, tuple(requested), tuple(packages))


def _requested(read: Reader, value: Any, place: str) -> str:
    if not isinstance(value, str):
        read.fail(place, f"expected a package name, found {kind(value)}")
    name, equals, version = value.partition("=")
    read.text(name, place, _NAME, "a package name")
    if equals:
        read.text(version, place, _VERSION, "a package version")
    return value


def load(path: Path) -> Lock:
    """The lock in a file. Raises EnclaverError, also when the file cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EnclaverError(
            f"the lock cannot be read: {error.strerror}",
            file=str(path),
            cure="Name a lock that `enclaver lock debian` wrote.",
        ) from error
    return parse(text, str(path))


def render(lock: Lock) -> bytes:
    """The canonical bytes of a lock; ``parse`` of them gives an equal lock."""
    return canonical_json(
        {
            "version": LOCK_VERSION,
            "suite": lock.suite,
            "architecture": lock.architecture,
            "requested": sorted(lock.requested),
            "packages": [package_json(p) for p in sorted(lock.packages, key=lambda p: p.name)],
        }
    )
