"""A tree as a newc archive (see :mod:`enclaver.core.rootfs.cpio`), made while it is read.

So an archive need not lie anywhere: an image takes its ramdisks from the files that their trees are of, each of which
is read once, and digested on the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.cpio import ALIGNMENT, FIELDS, FORMATS, HEADER_SIZE, MAGIC, SIZE_LIMIT, TRAILER
from enclaver.core.rootfs.entry import (
    CHUNK,
    Content,
    Entry,
    FileContent,
    InlineContent,
    Kind,
    Source,
    path_bytes,
    printable,
    too_short,
)
from enclaver.core.rootfs.tree import Tree

_NOTHING: Final = InlineContent(b"")
_END: Final = HEADER_SIZE + len(TRAILER) + 1


@dataclass(frozen=True, slots=True)
class CpioReport:
    """What was written: the archive's size in bytes, and the SHA-256 (hex) of each file's content by path."""

    size: int
    digests: Mapping[str, str]


def write(tree: Tree, out: BinaryIO) -> CpioReport:
    """Write a tree as an archive, streaming; equal trees give equal bytes.

    Raises:
        EnclaverError: as ``Archive`` and its source. An error of ``out`` comes through as it is.
    """
    archive = Archive(tree)
    buffer = memoryview(bytearray(min(CHUNK, archive.size)))
    with archive.opened() as source:
        while count := source.readinto(buffer):
            out.write(buffer[:count])
    return CpioReport(archive.size, archive.digests)


class Archive:
    """A tree as an archive that is read from its beginning (``core.rootfs.entry.Readable``).

    Args:
        tree: must not change from now on.

    Raises:
        EnclaverError: the tree isn't whole (``Tree.check``), or a file is 4 GiB or more.
    """

    def __init__(self, tree: Tree) -> None:
        tree.check()
        self._tree = tree
        self._entries = list(tree)
        self._names = tree.names()
        #: The SHA-256 (hex) of each file's content by path, once it has been read.
        self.digests: dict[str, str] = {}
        #: In bytes.
        self.size = self._measured()

    @contextmanager
    def opened(self) -> Iterator[Source]:
        """Open it at its beginning. Reading it raises EnclaverError when a content can't be read."""
        reader = _Reader(self._members(), self.digests)
        try:
            yield reader
        finally:
            reader.close()

    def _measured(self) -> int:
        """Return the size. Raises EnclaverError for what has no place in an archive."""
        size = 0
        for entry in self._entries:
            body = self._body(entry).size
            if body >= SIZE_LIMIT:
                raise EnclaverError(
                    f"is {body} bytes; a ramdisk cannot hold a file of 4 GiB or more",
                    place=printable(entry.path),
                    cure="Split the file, or let the app fetch it when it runs.",
                )
            name = path_bytes(entry.path)
            if name == TRAILER:
                raise EnclaverError(
                    "this name marks a cpio archive's end", place=printable(entry.path), cure="Rename it."
                )
            head = HEADER_SIZE + len(name) + 1
            size += head + -head % 4 + body + -body % 4
        return size + _END + -(size + _END) % ALIGNMENT

    def _members(self) -> Iterator[_Member]:
        """Yield what the archive consists of, in order."""
        inodes: dict[str, int] = {}
        padding = b""
        size = 0
        for number, entry in enumerate(self._entries, start=1):
            owner = self._tree.inode(entry)
            # Numbers in order, not the source's: they say nothing but which names are one file.
            inode = inodes.setdefault(owner.path, number)
            names: Sequence[str] = self._names.get(owner.path, ())
            # A folder's link count is 2 whatever lies in it: the kernel makes its own count.
            links = 2 if entry.kind is Kind.DIRECTORY else len(names) or 1
            body = self._body(entry)
            head = _header(path_bytes(entry.path), inode, FORMATS[entry.kind] | owner.mode, owner, links, body.size)
            is_last = entry.kind is Kind.FILE and entry.path == names[-1]
            yield _Member(padding + head, body, names if is_last else ())
            padding = bytes(-body.size % 4)
            size += len(head) + body.size + len(padding)
        end = _header(TRAILER, links=1)[:_END]
        yield _Member(padding + end + bytes(self.size - size - _END), _NOTHING, ())

    def _body(self, entry: Entry) -> Content:
        """Return what lies behind an entry's header. Of hard links the last one has it (see ``cpio``)."""
        if entry.kind is Kind.FILE:
            owner = self._tree.inode(entry)
            return owner.content or _NOTHING if entry.path == self._names[owner.path][-1] else _NOTHING
        return InlineContent(path_bytes(entry.target)) if entry.target else _NOTHING


class _Member(NamedTuple):
    """Bytes, then a content, which is that of the files ``names``."""

    head: bytes
    body: Content
    names: Sequence[str]


class _Reader:
    """Reads members in order; notes the digests of files that it is through with."""

    def __init__(self, members: Iterator[_Member], digests: dict[str, str]) -> None:
        self._members = members
        self._digests = digests
        self._head = b""
        self._body: Content = _NOTHING
        self._names: Sequence[str] = ()
        self._offset = 0  # In the body.
        self._known: str | None = None  # The body's digest, else it is hashed.
        self._hash = sha256()
        # One file is kept open: the contents of neighbours mostly lie in the same one.
        self._path: Path | None = None
        self._file = -1

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a buffer, all of it unless the archive ends before, as ``Source.readinto``."""
        filled, size = 0, len(buffer)
        while filled < size:
            if self._head:
                part = self._head[: size - filled]
                buffer[filled : filled + len(part)] = part
                self._head = self._head[len(part) :]
                filled += len(part)
            elif left := self._body.size - self._offset:
                part_view = buffer[filled : filled + left]
                count = self._read(part_view)
                if self._known is None:
                    self._hash.update(part_view[:count])
                self._offset += count
                filled += count
            elif not self._next():
                break
        return filled

    def close(self) -> None:
        """Close the file that is open."""
        if self._file >= 0:
            os.close(self._file)
            self._file, self._path = -1, None

    def _next(self) -> bool:
        """Go to the next member; False at the end."""
        if self._names:
            self._digests.update(dict.fromkeys(self._names, self._known or self._hash.hexdigest()))
        member = next(self._members, None)
        self._head, self._body, self._names = member or (b"", _NOTHING, ())
        self._offset = 0
        self._known = self._body.sha256 if isinstance(self._body, FileContent) else None
        self._hash = sha256()
        return member is not None

    def _read(self, buffer: memoryview) -> int:
        body = self._body
        if isinstance(body, InlineContent):
            part = body.data[self._offset : self._offset + len(buffer)]
            buffer[: len(part)] = part
            return len(part)
        try:
            if body.path is not self._path and body.path != self._path:
                self.close()
                self._file = os.open(body.path, os.O_RDONLY | os.O_CLOEXEC)
                self._path = body.path
            count = os.preadv(self._file, [buffer], body.offset + self._offset)
        except OSError as error:
            raise EnclaverError(f"cannot read: {error.strerror}", file=str(body.path)) from error
        if not count:
            raise too_short(body.path, body.size - self._offset)
        return count


def _header(
    name: bytes, inode: int = 0, mode: int = 0, owner: Entry | None = None, links: int = 0, size: int = 0
) -> bytes:
    """Return a member's header and name, padded."""
    uid, gid = (owner.uid, owner.gid) if owner else (0, 0)
    major, minor = owner.device if owner and owner.device else (0, 0)
    # The mtime is 0 and the device 0:0: when and on which disk it was built is no property of the image.
    # The check field is 0 too: only the other newc magic, 070702, uses it.
    fields = FIELDS.pack(inode, mode, uid, gid, links, 0, size, 0, 0, major, minor, len(name) + 1, 0)
    record = MAGIC + fields.hex().encode() + name + b"\0"
    return record + bytes(-len(record) % 4)
