"""The Debian lock: which packages, by digest, a tree is made of. It names no host and no time.

The file is JSON (``{"version": 1, "suite", "architecture", "requested", "packages"}``), written canonically:
keys sorted, packages sorted by name, two spaces of indent, ASCII, one trailing newline. Reading is strict,
since the file decides which bytes are measured: unknown keys, wrong types, a digest that is none, a path that
leaves the archive or packages out of order are refused with the place and the cure.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from enclaver.core.errors import EnclaverError

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


class _Reader:
    """Takes a JSON document apart; every refusal carries the file and the place in it."""

    def __init__(self, file: str, cure: str = _CURE) -> None:
        self._file = file
        self._cure = cure

    def fail(self, place: str | None, what: str) -> NoReturn:
        raise EnclaverError(what, file=self._file, place=place, cure=self._cure)

    def document(self, text: bytes) -> Any:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            seen: dict[str, Any] = {}
            for key, value in pairs:
                if key in seen:
                    self.fail(f"key {key!r}", "the key is given twice in one object")
                seen[key] = value
            return seen

        try:
            return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=self._constant)
        except UnicodeDecodeError as error:
            self.fail(f"byte {error.start}", "the file is not UTF-8 text")
        except json.JSONDecodeError as error:
            self.fail(f"line {error.lineno}, column {error.colno}", f"this is not JSON: {error.msg}")
        except RecursionError:
            self.fail(None, "the document is nested too deeply")
        except ValueError as error:  # An integer of thousands of digits.
            self.fail(None, f"this is not JSON that can be read: {error}")

    def _constant(self, name: str) -> NoReturn:
        self.fail(None, f"{name} is not JSON")

    def object(self, value: Any, place: str | None, keys: Iterable[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fail(place, f"expected an object, found {_kind(value)}")
        wanted = list(keys)
        for key in value:
            if key not in wanted:
                near = difflib.get_close_matches(key, wanted, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(wanted)}"
                self.fail(place, f"unknown key {key!r}{hint}")
        for key in wanted:
            if key not in value:
                self.fail(place, f"the key {key!r} is missing")
        return value

    def text(self, value: Any, place: str, pattern: re.Pattern[str], meaning: str) -> str:
        if not isinstance(value, str):
            self.fail(place, f"expected {meaning}, found {_kind(value)}")
        if not pattern.fullmatch(value):
            self.fail(place, f"{value!r} is not {meaning}")
        return value

    def choice(self, value: Any, place: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            shown = repr(value) if isinstance(value, str) else _kind(value)
            self.fail(place, f"expected one of {', '.join(choices)}, found {shown}")
        return str(value)

    def array(self, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            self.fail(place, f"expected a list, found {_kind(value)}")
        return value

    def integer(self, value: Any, place: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(place, f"expected a whole number, found {_kind(value)}")
        if not low <= value <= high:
            self.fail(place, f"{value} is out of range; it must be {low} to {high}")
        return int(value)

    def path(self, value: Any, place: str) -> str:
        if not isinstance(value, str):
            self.fail(place, f"expected a path inside the archive, found {_kind(value)}")
        parts = value.split("/")
        if not value.endswith(".deb") or any(p in (".", "..") or not _PATH_PART.fullmatch(p) for p in parts):
            self.fail(place, f"{value!r} is not a relative path of a .deb inside the archive")
        return value

    def ordered(self, names: list[str], place: Callable[[int], str]) -> None:
        for index in range(1, len(names)):
            if names[index] == names[index - 1]:
                self.fail(place(index), f"{names[index]!r} is listed twice")
            if names[index] < names[index - 1]:
                self.fail(place(index), f"{names[index]!r} is out of order; the list must be sorted")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def parse_package(value: Any, *, file: str, place: str, architecture: str | None = None, cure: str = _CURE) -> Package:
    """A package object of a lock (also of a kernel source lock) as a Package.

    ``place`` is how errors name where the object stands, such as ``packages[3]``. With ``architecture`` the
    package must be of that architecture or of "all". ``cure`` is what errors advise. Raises EnclaverError.
    """
    read = _Reader(file, cure)
    fields = read.object(value, place, Package.__dataclass_fields__)
    allowed = ("all", architecture) if architecture else ("all", *ARCHITECTURES)
    return Package(
        name=read.text(fields["name"], f"{place}.name", _NAME, "a package name"),
        version=read.text(fields["version"], f"{place}.version", _VERSION, "a package version"),
        architecture=read.choice(fields["architecture"], f"{place}.architecture", allowed),
        archive=read.choice(fields["archive"], f"{place}.archive", ARCHIVES),
        path=read.path(fields["path"], f"{place}.path"),
        sha256=read.text(fields["sha256"], f"{place}.sha256", _SHA256, "64 lower-case hex digits"),
        size=read.integer(fields["size"], f"{place}.size", 1, MAX_PACKAGE_SIZE),
    )


def package_json(package: Package) -> dict[str, str | int]:
    """The JSON object of a package, in a lock's shape."""
    return {key: getattr(package, key) for key in Package.__dataclass_fields__}


def parse(text: bytes, file: str) -> Lock:
    """The lock in ``text``; ``file`` is its name as the user gave it. Raises EnclaverError."""
    read = _Reader(file)
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


def _requested(read: _Reader, value: Any, place: str) -> str:
    if not isinstance(value, str):
        read.fail(place, f"expected a package name, found {_kind(value)}")
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


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """A document as this project writes every lock: sorted keys, two spaces, ASCII, a trailing newline."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


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
