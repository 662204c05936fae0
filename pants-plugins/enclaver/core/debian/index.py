"""Packages indexes: the stanzas of an archive, looked up by name and read only when asked for.

A main index holds some 64,000 stanzas, of which a closure reads a few hundred: the text is cut into stanzas and
names are noted, and python-debian reads a stanza only when it is wanted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from debian.deb822 import Deb822

from enclaver.core.debian import relations
from enclaver.core.debian.lock import Package, parse_package
from enclaver.core.debian.relations import Relation
from enclaver.core.errors import EnclaverError

_CURE: Final = "The index is not one that Debian's archive would serve; use another mirror."
_PROVIDES: Final = re.compile(r"^Provides:[ \t]*(.*)$", re.MULTILINE)
_VERSION: Final = re.compile(r"^Version:[ \t]*(\S+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One version of one package as an index describes it."""

    package: Package
    depends: tuple[tuple[Relation, ...], ...]
    conflicts: tuple[Relation, ...]
    provides: tuple[Relation, ...]

    def provided_version(self, name: str) -> tuple[bool, str | None]:
        """Whether this is, or provides, ``name``; and as which version (None: an unversioned Provides)."""
        if name == self.package.name:
            return True, self.package.version
        for provided in self.provides:
            if provided.name == name:
                return True, provided.version
        return False, None

    def satisfies(self, relation: Relation) -> bool:
        """Whether this package, by its name or by one that it provides, satisfies the relation."""
        if relation.name == self.package.name and relation.accepts(self.package.version):
            return True
        return any(p.name == relation.name and relation.accepts(p.version) for p in self.provides)


@dataclass(slots=True)
class _Stanza:
    """A stanza not read yet: its text, and where it is from."""

    text: str
    version: str
    archive: str
    file: str


@dataclass(slots=True)
class PackageIndex:
    """The stanzas of several indexes of one architecture, seen as one archive."""

    architecture: str
    _stanzas: dict[str, list[_Stanza]] = field(default_factory=dict)
    _providers: dict[str, set[str]] = field(default_factory=dict)
    _read: dict[int, Candidate] = field(default_factory=dict)

    def add(self, text: str, *, archive: str, file: str) -> None:
        """Add a Packages file's text; ``archive`` is "debian" or "debian-security", ``file`` names it in errors."""
        for block in re.split(r"\n\n+", text.strip("\n")):
            if not block:
                continue
            first, _, _ = block.partition("\n")
            key, colon, name = first.partition(":")
            version = _VERSION.search(block)
            if key != "Package" or not colon or version is None:
                raise EnclaverError(
                    "a stanza does not begin with Package or has no Version",
                    file=file,
                    place=first[:60],
                    cure=_CURE,
                )
            name = name.strip()
            self._stanzas.setdefault(name, []).append(_Stanza(block, version[1], archive, file))
            provides = _PROVIDES.search(block)
            if provides:
                for part in provides[1].split(","):
                    self._providers.setdefault(part.split("(")[0].strip(), set()).add(name)

    def candidate(self, name: str, version: str | None = None) -> Candidate | None:
        """The newest version of a package (or exactly ``version``), None when there is none.

        The same version in two archives is the same package; the one added first is taken.
        """
        best: _Stanza | None = None
        for stanza in self._stanzas.get(name, ()):
            if version is not None and stanza.version != version:
                continue
            if best is None or relations.newer(stanza.version, best.version):
                best = stanza
        return self._candidate(best) if best else None

    def versions(self, name: str) -> list[str]:
        """The versions there are of a package, in the order of the indexes."""
        return [stanza.version for stanza in self._stanzas.get(name, ())]

    def providers(self, name: str) -> list[str]:
        """Names of the packages of which some version provides ``name``, sorted."""
        return sorted(self._providers.get(name, ()))

    def nearest(self, name: str) -> list[str]:
        """Up to three package names that look like ``name``."""
        return difflib.get_close_matches(name, self._stanzas, n=3, cutoff=0.75)

    def _candidate(self, stanza: _Stanza) -> Candidate:
        known = self._read.get(id(stanza))
        if known is None:
            known = self._read[id(stanza)] = _read_stanza(stanza, self.architecture)
        return known


def _read_stanza(stanza: _Stanza, architecture: str) -> Candidate:
    fields = Deb822(stanza.text)
    name = fields["Package"]
    place = f"Package {name}"

    def need(key: str) -> str:
        try:
            return str(fields[key])
        except KeyError:
            raise EnclaverError(f"the stanza has no {key}", file=stanza.file, place=place, cure=_CURE) from None

    def groups(key: str) -> list[list[Relation]]:
        return relations.parse(str(fields.get(key, "")), file=stanza.file, place=f"{place}, {key}")

    def flat(*keys: str) -> tuple[Relation, ...]:
        return tuple(relation for key in keys for group in groups(key) for relation in group)

    size = need("Size")
    # The index is held to the same strictness as a lock: what is read here is written there.
    package = parse_package(
        {
            "name": name,
            "version": need("Version"),
            "architecture": need("Architecture"),
            "archive": stanza.archive,
            "path": need("Filename"),
            "sha256": need("SHA256"),
            "size": int(size) if size.isascii() and size.isdigit() else size,
        },
        file=stanza.file,
        place=place,
        architecture=architecture,
        cure=_CURE,
    )
    return Candidate(
        package=package,
        depends=tuple(tuple(group) for key in ("Pre-Depends", "Depends") for group in groups(key)),
        conflicts=flat("Conflicts", "Breaks"),
        provides=flat("Provides"),
    )


def build(architecture: str, parts: Iterable[tuple[str, str, str]]) -> PackageIndex:
    """A PackageIndex of (archive, file, text) parts; earlier parts win where versions are equal."""
    index = PackageIndex(architecture)
    for archive, file, text in parts:
        index.add(text, archive=archive, file=file)
    return index
