"""The newc cpio archive, the form in which Linux takes a ramdisk.

Layout (Documentation/driver-api/early-userspace/buffer-format.rst, and cpio(5)): per entry a header of 110
bytes, all ASCII: the magic ``070701`` and 13 fields of eight hexadecimal digits; then the name with a NUL,
then the body, each padded with NULs to a multiple of four. The last entry is called ``TRAILER!!!``.

Of hard links, the last one carries the body and the ones before it have size 0: so write cpio(1) and the
kernel's own gen_init_cpio, and so both unpackers want it (the kernel opens the first name empty and links the
others by inode number and device, init/initramfs.c).
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import PATH_MAX
from enclaver.core.rootfs.regular import open_regular
from enclaver.core.rootfs.tree import (
    Content,
    Entry,
    FileContent,
    InlineContent,
    Kind,
    Tree,
    path_bytes,
    path_text,
    printable,
)

MAGIC = b"070701"
TRAILER = b"TRAILER!!!"
HEADER_SIZE = 110
# Fields: ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize,
# check.
FIELDS = struct.Struct(">13I")
ALIGNMENT = 512  # An archive is padded to a block, as cpio(1) does, so that the next ramdisk starts aligned.
SIZE_LIMIT = 1 << 32

_HEX = re.compile(rb"[0-9A-Fa-f]{104}\Z")
_FORMATS = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
}
_KINDS = {number: kind for kind, number in _FORMATS.items()}


@dataclass(frozen=True, slots=True)
class CpioReport:
    """What was written: the archive's size in bytes, and the SHA-256 (hex) of each file's content by path."""

    size: int
    digests: Mapping[str, str]


def write(tree: Tree, out: BinaryIO) -> CpioReport:
    """Write a tree as an archive, streaming; equal trees give equal bytes.

    Raises:
        EnclaverError: the tree isn't whole (``Tree.check``), a file is 4 GiB or more, or can't be read.
    """
    tree.check()
    return _Writer(tree, out).write()


@dataclass(slots=True)
class _Writer:
    tree: Tree
    out: BinaryIO
    size: int = 0
    digests: dict[str, str] = field(default_factory=dict)

    def write(self) -> CpioReport:
        entries = list(self.tree)
        names = self.tree.names()
        inodes: dict[str, int] = {}
        for number, entry in enumerate(entries, start=1):
            owner = self.tree.inode(entry)
            # Numbers in order, not the source's: they say nothing but which names are one file.
            inode = inodes.setdefault(owner.path, number)
            self._entry(entry, owner, inode, names.get(owner.path, [entry.path]))
        self._header(TRAILER, links=1)
        self._pad(ALIGNMENT)
        return CpioReport(self.size, self.digests)

    def _entry(self, entry: Entry, owner: Entry, inode: int, names: list[str]) -> None:
        body: Content = InlineContent(b"")
        if entry.kind is Kind.SYMLINK:
            body = InlineContent(path_bytes(entry.target or ""))
        elif entry.kind is Kind.FILE and entry.path == names[-1]:
            body = self.tree.content(entry)
        if body.size >= SIZE_LIMIT:
            raise EnclaverError(
                f"is {body.size} bytes; a ramdisk cannot hold a file of 4 GiB or more",
                place=printable(entry.path),
                cure="Split the file, or let the app fetch it when it runs.",
            )
        name = path_bytes(entry.path)
        if name == TRAILER:
            raise EnclaverError("this name marks a cpio archive's end", place="TRAILER!!!", cure="Rename it.")
        # A folder's link count is 2 whatever lies in it: the kernel makes its own count.
        links = 2 if entry.kind is Kind.DIRECTORY else len(names)
        self._header(name, inode, _FORMATS[entry.kind] | owner.mode, owner, links, body.size)
        digest = sha256()
        for chunk in body.chunks():
            self.out.write(chunk)
            digest.update(chunk)
        self.size += body.size
        self._pad(4)
        if entry.kind is Kind.FILE and entry.path == names[-1]:
            self.digests.update(dict.fromkeys(names, digest.hexdigest()))

    def _header(
        self,
        name: bytes,
        inode: int = 0,
        mode: int = 0,
        owner: Entry | None = None,
        links: int = 0,
        size: int = 0,
    ) -> None:
        uid, gid = (owner.uid, owner.gid) if owner else (0, 0)
        major, minor = owner.device if owner and owner.device else (0, 0)
        # The mtime is 0 and the device 0:0: when and on which disk it was built is no property of the image.
        # The check field is 0 too: only the other newc magic, 070702, uses it.
        fields = FIELDS.pack(inode, mode, uid, gid, links, 0, size, 0, 0, major, minor, len(name) + 1, 0)
        record = MAGIC + fields.hex().encode() + name + b"\0"
        self.out.write(record)
        self.size += len(record)
        self._pad(4)

    def _pad(self, alignment: int) -> None:
        padding = -self.size % alignment
        self.out.write(bytes(padding))
        self.size += padding


@dataclass(frozen=True, slots=True)
class _Record:
    """One entry as it lies in an archive."""

    name: str
    inode: tuple[int, int, int]
    mode: int
    uid: int
    gid: int
    links: int
    device: tuple[int, int]
    body: FileContent


def read(path: Path) -> Tree:
    """Read an archive's entries; contents stay in the file, as slices.

    Raises:
        EnclaverError: the file can't be read, or is not one complete archive of entries that ``write`` could
            have written. Time stamps, inode numbers and device numbers may be any.
    """
    try:
        with open_regular(path) as (file, size):
            return _Reader(path, file, size).read()
    except EnclaverError as error:
        if error.file is None:
            raise EnclaverError(error.what, file=str(path), place=error.place, cure=error.cure) from error
        raise


@dataclass(slots=True)
class _Reader:
    path: Path
    file: BinaryIO
    total: int
    offset: int = 0

    def read(self) -> Tree:
        records: list[_Record] = []
        bodies: dict[tuple[int, int, int], _Record] = {}
        while (record := self._record()) is not None:
            records.append(record)
            if stat.S_ISREG(record.mode) and record.links > 1:
                holder = bodies.setdefault(record.inode, record)
                if record is not holder and record.body.size:
                    if holder.body.size:
                        raise self._error("two names of one file have a body each", record.name)
                    bodies[record.inode] = record
        self._end()
        tree = Tree()
        first: dict[tuple[int, int, int], str] = {}
        for record in records:
            if record.name in tree:
                raise self._error("is in the archive twice", record.name)
            shared = bodies.get(record.inode) if stat.S_ISREG(record.mode) and record.links > 1 else None
            owner = first.setdefault(record.inode, record.name) if shared else record.name
            tree.add(self._tree_entry(record, shared or record, owner))
        tree.check()
        return tree

    def _tree_entry(self, record: _Record, holder: _Record, owner: str) -> Entry:
        if (record.mode, record.uid, record.gid) != (holder.mode, holder.uid, holder.gid):
            raise self._error("two names of one file differ in mode or owner", record.name)
        kind = _KINDS.get(stat.S_IFMT(record.mode))
        if kind is None:
            raise self._error("is neither file, folder, symlink nor character device", record.name)
        if kind in (Kind.DIRECTORY, Kind.CHARACTER_DEVICE) and record.body.size:
            raise self._error("has a body, which its kind cannot have", record.name)
        target = None
        if kind is Kind.SYMLINK:
            if record.body.size >= PATH_MAX:
                raise self._error("its target is too long", record.name)
            target = path_text(b"".join(bytes(chunk) for chunk in record.body.chunks()))
        return Entry(
            record.name,
            kind,
            stat.S_IMODE(record.mode),
            record.uid,
            record.gid,
            content=holder.body if kind is Kind.FILE and owner == record.name else None,
            target=target,
            device=record.device if kind is Kind.CHARACTER_DEVICE else None,
            hardlink_to=owner if owner != record.name else None,
        )

    def _record(self) -> _Record | None:
        start = self.offset
        header = self._take(HEADER_SIZE, "an entry's header")
        if header[:6] != MAGIC:
            raise self._error("no newc header here (magic 070701)", offset=start)
        if not _HEX.match(header, 6):
            raise self._error("a header field is not hexadecimal", offset=start)
        fields = FIELDS.unpack(bytes.fromhex(header[6:].decode("ascii")))
        inode, mode, uid, gid, links, _, size, major, minor, rmajor, rminor, length, _ = fields
        if not 1 < length <= PATH_MAX:
            raise self._error(f"a name of {length} bytes", offset=start)
        name = self._take(length + -(HEADER_SIZE + length) % 4, "an entry's name")[:length]
        if name.find(b"\0") != length - 1:
            raise self._error("a name has a NUL inside or none at its end", offset=start)
        body = FileContent(self.path, self.offset, size)
        if size > self.total - self.offset:
            raise self._error(f"an entry claims {size} bytes, more than the file has left", offset=start)
        if name[:-1] == TRAILER:
            if size:
                raise self._error("the trailer has a body", offset=start)
            return None
        self.offset += size
        self._take_padding()
        return _Record(path_text(name[:-1]), (inode, major, minor), mode, uid, gid, links, (rmajor, rminor), body)

    def _take(self, size: int, what: str) -> bytes:
        data = self.file.read(size)
        if len(data) != size:
            raise self._error(f"the file ends within {what}", offset=self.offset)
        self.offset += size
        return data

    def _take_padding(self) -> None:
        self.file.seek(self.offset)
        self._take(-self.offset % 4, "an entry's padding")

    def _end(self) -> None:
        """Refuse anything but zero padding of less than a page behind the trailer."""
        rest = self.file.read(PATH_MAX)
        if len(rest) == PATH_MAX or rest.strip(b"\0"):
            raise self._error("there is more behind the archive's end", offset=self.offset)

    def _error(self, what: str, name: str | None = None, *, offset: int | None = None) -> EnclaverError:
        place = f"offset {offset:#x}" if offset is not None else name and printable(name)
        return EnclaverError(what, file=str(self.path), place=place, cure="Make the archive anew.")
