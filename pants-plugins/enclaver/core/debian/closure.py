"""The closure of the requested packages: everything their dependencies need, and nothing more.

The choice is deterministic and does not depend on the order in which packages were asked for:

1. A package's candidate is its newest version across the indexes, unless ``name=version`` asks for another.
2. Dependencies that only one package can satisfy are followed first, until nothing new comes in.
3. Then the first open choice (by package name, then by its place in the fields) is made: an alternative that a
   chosen package already satisfies wins; else the first alternative in the field's order whose own package
   satisfies it; else, for a virtual package, its first provider by name. Then step 2 again.

Essential packages are not implied (an enclave's tree is no Debian system), and neither are Recommends, nor what
only maintainer scripts need (rules.SCRIPT_DEPENDENCIES), since none is run. Nothing is ever taken back: where a
choice leads into a conflict, the error names both sides, and asking for another alternative by name settles it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from enclaver.core.debian import rules
from enclaver.core.debian.index import Candidate, PackageIndex
from enclaver.core.debian.lock import Package
from enclaver.core.debian.relations import Relation
from enclaver.core.errors import EnclaverError


@dataclass(frozen=True, slots=True)
class _Open:
    """A dependency that is not settled yet."""

    parent: str
    position: int
    alternatives: tuple[Relation, ...]

    def __str__(self) -> str:
        return " | ".join(str(relation) for relation in self.alternatives)


class _Resolver:
    def __init__(self, index: PackageIndex) -> None:
        self._index = index
        self._pins: dict[str, str] = {}
        self._chosen: dict[str, Candidate] = {}
        self._why: dict[str, str | None] = {}
        self._open: list[_Open] = []

    def resolve(self, requested: Iterable[str]) -> list[Package]:
        names = sorted(set(requested))
        for item in names:
            name, equals, version = item.partition("=")
            if equals and self._pins.setdefault(name, version) != version:
                raise EnclaverError(
                    f"{name} is asked for in two versions, {self._pins[name]} and {version}",
                    cure="Ask for one of them.",
                )
        for item in names:
            self._request(item.partition("=")[0])
        while self._open:
            self._follow_certain()
            self._make_choice()
        self._check_conflicts()
        return [self._chosen[name].package for name in sorted(self._chosen)]

    def _candidate(self, name: str) -> Candidate | None:
        return self._index.candidate(name, self._pins.get(name))

    def _request(self, name: str) -> None:
        candidate = self._candidate(name)
        if candidate is not None:
            self._choose(candidate, None)
            return
        versions = self._index.versions(name)
        if versions:
            raise EnclaverError(
                f"the package {name} has no version {self._pins[name]}",
                cure=f"The versions there are: {', '.join(versions)}.",
            )
        providers = self._index.providers(name)
        if providers:
            raise EnclaverError(
                f"{name} is a virtual package", cure=f"Ask for one that provides it: {', '.join(providers[:5])}."
            )
        near = self._index.nearest(name)
        hint = f"The nearest names are {', '.join(near)}." if near else "Check its name, suite and component."
        raise EnclaverError(f"there is no package {name} for {self._index.architecture}", cure=hint)

    def _choose(self, candidate: Candidate, parent: str | None) -> None:
        name = candidate.package.name
        if name in self._chosen:
            return
        self._chosen[name] = candidate
        self._why[name] = parent
        for position, group in enumerate(candidate.depends):
            if not rules.script_only(name, [relation.name for relation in group]):
                self._open.append(_Open(name, position, group))

    def _follow_certain(self) -> None:
        """Step 2: settle what is settled, follow what has one way only; the rest stays open."""
        progress = True
        while progress:
            progress = False
            for dependency in sorted(self._open, key=lambda d: (d.parent, d.position)):
                if self._is_settled(dependency):
                    self._open.remove(dependency)
                    continue
                ways = list(self._ways(dependency))
                if not ways:
                    self._fail(dependency)
                if len(ways) == 1:
                    self._open.remove(dependency)
                    self._choose(ways[0], dependency.parent)
                    progress = True

    def _make_choice(self) -> None:
        """Step 3: the first open dependency takes its first way."""
        if self._open:
            dependency = min(self._open, key=lambda d: (d.parent, d.position))
            self._open.remove(dependency)
            self._choose(next(self._ways(dependency)), dependency.parent)

    def _is_settled(self, dependency: _Open) -> bool:
        return any(
            chosen.satisfies(relation)
            for relation in dependency.alternatives
            if relation.fits_architecture(self._index.architecture)
            for chosen in self._chosen.values()
        )

    def _ways(self, dependency: _Open) -> Iterator[Candidate]:
        """The packages that could satisfy a dependency, the preferred one first, each once."""
        seen: set[str] = set()
        for relation in dependency.alternatives:
            if not relation.fits_architecture(self._index.architecture):
                continue
            # The package of that name before those that provide the name, as apt and policy 7.5 have it.
            for name in [relation.name, *self._index.providers(relation.name)]:
                candidate = None if name in seen or name in self._chosen else self._candidate(name)
                if candidate is not None and candidate.satisfies(relation):
                    seen.add(name)
                    yield candidate

    def _chain(self, name: str) -> str:
        chain = [name]
        parent = self._why[name]
        while parent is not None:
            chain.append(parent)
            parent = self._why[parent]
        return " -> ".join(self._chosen[link].package.label for link in reversed(chain))

    def _fail(self, dependency: _Open) -> None:
        known = []
        for relation in dependency.alternatives:
            candidate = self._candidate(relation.name)
            if candidate is not None:
                known.append(candidate.package.label)
        found = f"there is only {', '.join(known)}" if known else "no index has such a package"
        raise EnclaverError(
            f"nothing satisfies the dependency {dependency} of {dependency.parent}: {found}",
            place=self._chain(dependency.parent),
            cure="Add the suite or component that has it, pin a fitting version with name=version, "
            "or try again later if the mirror is being updated.",
        )

    def _check_conflicts(self) -> None:
        for name in sorted(self._chosen):
            for conflict in self._chosen[name].conflicts:
                for other in sorted(self._chosen):
                    # A package may conflict with a name it provides itself (policy 7.6.2).
                    if other != name and self._chosen[other].satisfies(conflict):
                        raise EnclaverError(
                            f"{self._chosen[name].package.label} conflicts with {conflict}, "
                            f"which is {self._chosen[other].package.label}",
                            place=f"{self._chain(name)}; {self._chain(other)}",
                            cure="Leave one of them out, or ask by name for another alternative "
                            "of the package that brought it.",
                        )


def resolve(index: PackageIndex, requested: Iterable[str]) -> list[Package]:
    """The closure of ``requested`` (``name`` or ``name=version``), sorted by name.

    Raises EnclaverError for a package that is not there (with the nearest names), for a dependency that cannot
    be satisfied (with the chain that leads to it) and for chosen packages that conflict.
    """
    return _Resolver(index).resolve(requested)
