"""A tree as a real folder: for tools that must run from it, such as the compiler in its chroot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Content, Entry, FileContent, Kind, Tree, path_bytes

# Files are made closed to others, and get their mode last: setuid bits do not survive a change of owner.
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# One time for everything: a folder's times must not tell when it was unpacked. It is ZIP's and make's safe minimum.
_TIME: Final = 315532800


def write(tree: Tree, folder: Path, *, owners: bool) -> None:
    """Lay a tree out in ``folder``, which must be empty or not there.

    Modes and links are the tree's; owners too with ``owners`` (which needs root), else all is the caller's.
    Device nodes are refused. Times are 1980-01-01. What a failure leaves behind is the caller's to remove.
    Raises EnclaverError.
    """
    # No entry lies below a symlink then, so nothing can be written outside of the folder.
    tree.check()
    root = os.fsencode(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EnclaverError("the folder is not empty", file=str(folder), cure="Name an empty or a new one.")
        _write(tree, root, owners)
    except OSError as error:
        raise EnclaverError(
            f"the tree cannot be written: {error.strerror}",
            file=os.fsdecode(error.filename) if error.filename else str(folder),
            cure="Make room, or name a folder that you may write to.",
        ) from error


def _write(tree: Tree, root: bytes, owners: bool) -> None:
    links: list[Entry] = []
    folders: list[Entry] = []
    for entry in tree:
        path = _inside(root, entry.path)
        if entry.kind is Kind.DIRECTORY:
            os.mkdir(path, 0o700)
            folders.append(entry)
            continue
        if entry.hardlink_to is not None:
            links.append(entry)
        elif entry.kind is Kind.SYMLINK:
            os.symlink(path_bytes(entry.target or ""), path)
            _settle(path, entry, owners)
        elif entry.kind is Kind.FILE and entry.content is not None:
            _copy(entry.content, path)
            _settle(path, entry, owners)
        else:
            raise EnclaverError("a folder cannot hold the tree's device nodes", place=entry.path)
    for entry in links:
        os.link(_inside(root, tree.inode(entry).path), _inside(root, entry.path), follow_symlinks=False)
    # The deepest first: a folder's mode may forbid writing into it.
    for entry in reversed(folders):
        _settle(_inside(root, entry.path), entry, owners)


def _inside(root: bytes, path: str) -> bytes:
    return os.path.join(root, path_bytes(path))


def _settle(path: bytes, entry: Entry, owners: bool) -> None:
    if owners and (entry.uid or entry.gid):
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.kind is not Kind.SYMLINK:
        os.chmod(path, entry.mode)
    os.utime(path, (_TIME, _TIME), follow_symlinks=False)


def _copy(content: Content, path: bytes) -> None:
    target = os.open(path, _NEW, 0o600)
    try:
        if isinstance(content, FileContent):
            _copy_slice(content, target)
        else:
            for chunk in content.chunks():
                _write_all(target, chunk)
    finally:
        os.close(target)


def _copy_slice(content: FileContent, target: int) -> None:
    """Copy inside the kernel."""
    source = os.open(content.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        offset, left = content.offset, content.size
        while left:
            count = os.sendfile(target, source, offset, left)
            if not count:
                raise EnclaverError("the spooled data ends too early", file=str(content.path))
            offset += count
            left -= count
    finally:
        os.close(source)


def _write_all(target: int, data: memoryview) -> None:
    while data:
        data = data[os.write(target, data) :]
