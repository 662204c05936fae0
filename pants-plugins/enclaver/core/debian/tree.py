"""Packages' trees put together: documentation left out, /usr merged, the rules for scripts applied."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from enclaver.core.debian import rules
from enclaver.core.rootfs.entry import ORIGIN
from enclaver.core.rootfs.tree import Entry, Kind, Tree

# Left out of every tree: nobody reads them in an enclave, and a ramdisk lies in memory. A package's copyright
# file stays, since the licences want it to travel with the binaries; so do the links by which packages share one.
DROPPED: Final = (
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/linda",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/bug",
    "usr/share/bash-completion",
    "usr/share/zsh/vendor-completions",
    "usr/share/fish/vendor_completions.d",
)
_KEPT: Final = re.compile(r"usr/share/doc/[^/]+/copyright")
_SHARED: Final = re.compile(r"usr/share/doc/[^/]+")


def assemble(parts: Iterable[Tree]) -> Tree:
    """One tree of the packages' trees, given in the lock's order. Raises EnclaverError on files in two packages."""
    tree = Tree()
    for part in parts:
        kept = _trim(part)
        for entry in kept:
            merged = _merge(entry)
            if merged is not None:
                tree.add(merged)
    # Before the rules, which look at folders, and after them, since they add files in new ones.
    tree.ensure_parents(origin=ORIGIN)
    rules.apply(tree)
    tree.ensure_parents(origin=ORIGIN)
    return tree


def is_dropped(entry: Entry) -> bool:
    """Whether an entry is documentation that a tree does without."""
    path = entry.path
    if not any(path == folder or path.startswith(f"{folder}/") for folder in DROPPED):
        return False
    if entry.kind is Kind.SYMLINK and _SHARED.fullmatch(path):
        return False
    return not _KEPT.fullmatch(path)


def _trim(part: Tree) -> Tree:
    for entry in list(part):
        # Removing a file hands its content on to its hard links, which may be in a place that stays.
        if entry.kind is not Kind.DIRECTORY and is_dropped(entry):
            part.remove(entry.path)
    return Tree(entry for entry in part if not (entry.kind is Kind.DIRECTORY and is_dropped(entry)))


def _merge(entry: Entry) -> Entry | None:
    """The entry where a merged /usr has it; None for a link that would then lead to itself.

    Links' targets stay as they are, as on an installed system: /bin is then a link, and ``..`` in a target is
    seen from /usr/bin.
    """
    path = merged_path(entry.path)
    link = None if entry.hardlink_to is None else merged_path(entry.hardlink_to)
    if entry.kind is Kind.SYMLINK and entry.target is not None:
        absolute = posixpath.normpath(posixpath.join("/", posixpath.dirname(entry.path), entry.target))
        if merged_path(absolute[1:]) == path:
            return None
    return replace(entry, path=path, hardlink_to=link)


def merged_path(path: str) -> str:
    """Where a merged /usr has a path: bin/x is usr/bin/x."""
    return f"usr/{path}" if path.partition("/")[0] in rules.MERGED else path
