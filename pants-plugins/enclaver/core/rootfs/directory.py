"""A real folder as a tree, without what the machine it lies on left in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Entry, FileContent, Kind, Tree, path_text

# SELinux labels every file on machines that run it, by the machine's policy: it says nothing about the file.
IGNORED_XATTRS = frozenset({"security.selinux"})


def read(folder: Path, *, origin: str, uid: int = 0, gid: int = 0) -> Tree:
    """Read a folder's entries; contents stay where they are, as slices of the files.

    Modes are those a version control system keeps: folders 0755, files 0755 when their owner may run them,
    else 0644. So neither the umask nor the owner of a checkout shows. Symlinks stay as they are. Hard links
    become files of their own: a checkout, a copy or a cache makes and unmakes them at will.

    Args:
        folder: what becomes the root; it has no entry itself.
        origin: each entry's origin.
        uid, gid: each entry's owner.

    Raises:
        EnclaverError: a socket, fifo, device or extended attribute (named), or something unreadable.
    """
    tree = Tree()
    pending = [b""]
    try:
        while pending:
            prefix = pending.pop()
            with os.scandir(os.path.join(os.fsencode(folder), prefix) if prefix else os.fsencode(folder)) as listing:
                # The order on disk is the file system's own; by name, the first error is the same anywhere.
                items = sorted(listing, key=lambda item: item.name)
            for item in items:
                entry = _entry(item, prefix + item.name, origin, uid, gid)
                tree.add(entry)
                if entry.kind is Kind.DIRECTORY:
                    pending.append(prefix + item.name + b"/")
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else str(folder)
        raise EnclaverError(f"cannot read: {error.strerror}", file=name) from error
    return tree


def _entry(item: os.DirEntry[bytes], raw: bytes, origin: str, uid: int, gid: int) -> Entry:
    path = path_text(raw)
    status = item.stat(follow_symlinks=False)
    _refuse_xattrs(item.path)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, Kind.DIRECTORY, 0o755, uid, gid, origin=origin)
    if stat.S_ISLNK(status.st_mode):
        target = path_text(os.readlink(item.path))
        return Entry(path, Kind.SYMLINK, 0o777, uid, gid, target=target, origin=origin)
    if stat.S_ISREG(status.st_mode):
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        content = FileContent(Path(os.fsdecode(item.path)), 0, status.st_size)
        return Entry(path, Kind.FILE, mode, uid, gid, content=content, origin=origin)
    raise EnclaverError(
        f"is a {_special(status.st_mode)}, which an image cannot hold",
        file=os.fsdecode(item.path),
        cure="Remove it from the folder; let the app make it when it runs.",
    )


def _refuse_xattrs(path: bytes) -> None:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return  # The file system has none.
    kept = sorted(set(names) - IGNORED_XATTRS)
    if kept:
        raise EnclaverError(
            f"has the extended attribute {kept[0]}, which a ramdisk cannot hold",
            file=os.fsdecode(path),
            cure=f"Remove it (setfattr -x {kept[0]} FILE), or do without what it grants.",
        )


def _special(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISFIFO(mode):
        return "fifo"
    return "device"
