"""What a package says about others: Depends, Conflicts, Provides and alike, and whether a version satisfies it.

Source: Debian policy, chapter 7. python-debian takes the fields apart and orders versions; what it would only
warn about is refused here, since a misread dependency would be a wrong lock.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from debian.deb822 import PkgRelation
from debian.debian_support import NativeVersion

from enclaver.core.errors import EnclaverError

# Policy 7.1; the obsolete < and > mean <= and >= and are no longer accepted by the archive.
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">>": operator.gt,
}
# Checked before python-debian sees a relation: what it cannot read it hands back whole, as a name.
_RELATION: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9+.-]*(?::[a-z0-9-]+)?(?:\s*\(\s*(?:<<|<=|=|>=|>>)\s*[A-Za-z0-9.+~:-]+\s*\))?"
)


@dataclass(frozen=True, slots=True)
class Relation:
    """One alternative: a name, perhaps ``:any`` or an architecture, perhaps a bound on the version."""

    name: str
    qualifier: str | None = None
    comparison: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        bound = f" ({self.comparison} {self.version})" if self.comparison else ""
        return f"{self.name}{qualifier}{bound}"

    def accepts(self, version: str | None) -> bool:
        """Whether a package (or a virtual one, whose version may be None) of this version satisfies the bound.

        An unversioned Provides satisfies no bound (policy 7.5).
        """
        if self.comparison is None:
            return True
        if version is None or self.version is None:
            return False
        return _OPERATORS[self.comparison](NativeVersion(version), NativeVersion(self.version))

    def fits_architecture(self, architecture: str) -> bool:
        """Whether a tree of one architecture can satisfy the qualifier at all."""
        return self.qualifier in (None, "any", architecture)


def newer(left: str, right: str) -> bool:
    """Whether version ``left`` is newer than ``right`` (policy 5.6.12)."""
    return NativeVersion(left) > NativeVersion(right)


def parse(field: str, *, file: str, place: str) -> list[list[Relation]]:
    """A dependency field as its groups (all must hold), each a list of alternatives (one must hold).

    ``file`` and ``place`` say in errors which index and which package the field is from. An empty field has
    no groups. Raises EnclaverError.
    """
    if not field.strip():
        return []
    groups: list[list[Relation]] = []
    # A trailing comma is allowed by the tools that write the field, and means nothing.
    for group in field.strip().rstrip(",").split(","):
        for alternative in group.split("|"):
            if not _RELATION.fullmatch(alternative.strip()):
                raise EnclaverError(
                    f"the dependency {alternative.strip()!r} cannot be read",
                    file=file,
                    place=place,
                    cure="The index is not one that Debian's archive would serve; use another mirror.",
                )
        (alternatives,) = PkgRelation.parse_relations(group)
        groups.append([_relation(item) for item in alternatives])
    return groups


def _relation(parsed: PkgRelation.ParsedRelation) -> Relation:
    comparison, version = parsed["version"] or (None, None)
    return Relation(parsed["name"], parsed["archqual"], comparison, version)


def render(groups: list[list[Relation]]) -> str:
    """The field that ``parse`` reads into these groups."""
    return ", ".join(" | ".join(str(alternative) for alternative in group) for group in groups)
