"""An image unpacked by umoci, and a tree of ours, in one form that can be compared."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from enclaver.core.rootfs.entry import content_sha256, path_text
from enclaver.core.rootfs.tree import Tree
from tests.integration.tools import require


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file system shows of one path: everything but times.

    Args:
        what: a file's digest, a link's target, or ''.
        names: how many names its file has, and the first of them.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    what: str
    names: tuple[int, str]


def umoci(layout: Path, tag: str, bundle: Path) -> Path:
    """Unpack an image of a layout's folder with umoci; return its root file system."""
    program = require("umoci")
    if os.geteuid() != 0:
        pytest.skip("umoci gives files their owners only as root")
    done = subprocess.run(
        [program, "unpack", "--image", f"{layout}:{tag}", bundle], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return bundle / "rootfs"


def shown(root: Path) -> dict[str, Shown]:
    """What lies in a folder, by path."""
    found: dict[str, tuple[os.stat_result, str]] = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            full = os.path.join(folder, name)
            status = os.lstat(full)
            what = ""
            if stat.S_ISLNK(status.st_mode):
                what = path_text(os.readlink(full))
            elif stat.S_ISREG(status.st_mode):
                with open(full, "rb") as file:
                    what = hashlib.file_digest(file, "sha256").hexdigest()
            found[path_text(os.path.relpath(full, os.fsencode(root)))] = (status, what)
    first: dict[int, str] = {}
    for path in sorted(found):
        first.setdefault(found[path][0].st_ino, path)
    return {
        path: Shown(
            _KINDS[stat.S_IFMT(status.st_mode)],
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            what,
            (status.st_nlink, first[status.st_ino]) if stat.S_ISREG(status.st_mode) else (1, path),
        )
        for path, (status, what) in found.items()
    }


_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


def ours(tree: Tree) -> dict[str, Shown]:
    """A tree, as ``shown`` shows a folder."""
    names = {path: sorted(paths) for paths in tree.names().values() for path in paths}
    digests = {entry.path: content_sha256(entry.content) for entry in tree if entry.content is not None}
    found = {}
    for entry in tree:
        holder = tree.inode(entry)
        what = entry.target or digests.get(holder.path, "")
        shared = names.get(entry.path, [entry.path])
        found[entry.path] = Shown(entry.kind.value, holder.mode, holder.uid, holder.gid, what, (len(shared), shared[0]))
    return found
