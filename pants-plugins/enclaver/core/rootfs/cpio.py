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
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import PATH_MAX
from enclaver.core.rootfs.regular import open_regular
from enclaver.core.rootfs.tree import (
    Entry,
    FileContent,
    Kind,
    Tree,
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
FORMATS = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
}
_KINDS = {number: kind for kind, number in FORMATS.items()}


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
