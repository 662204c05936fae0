"""Paths as the enclave's kernel would follow them: symbolic links resolved within the tree."""

from __future__ import annotations

from typing import Final

from enclaver.core.rootfs.entry import Entry, Kind
from enclaver.core.rootfs.tree import Tree

# Linux's own limit (MAXSYMLINKS).
_LINKS: Final = 40


def resolve(tree: Tree, path: str) -> Entry | None:
    """Return what an absolute path leads to, or None when it leads nowhere in the tree or to its root."""
    waiting = _parts(path)
    place: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part == ".":
            continue
        if part == "..":
            del place[-1:]
            continue
        entry = tree.get("/".join([*place, part]))
        if entry is None:
            return None
        if entry.kind is Kind.SYMLINK:
            links += 1
            if links > _LINKS:
                return None
            target = entry.target or ""
            if target.startswith("/"):
                place.clear()
            waiting.extend(_parts(target))
            continue
        if waiting and entry.kind is not Kind.DIRECTORY:
            return None  # Not even '.' lies in a file.
        place.append(part)
    return tree.get("/".join(place))


def _parts(path: str) -> list[str]:
    """Return a path's parts, the last one first; an empty one, as behind a final '/', is the folder itself."""
    return [part or "." for part in reversed(path.split("/"))]
