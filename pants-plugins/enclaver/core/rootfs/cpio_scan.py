"""What Linux makes of a newc archive that another tool wrote: its entries, whatever their order, names and repetitions.

``cpio.read`` takes what this project writes and nothing else. The archives of linuxkit, which nitro-cli has make its
ramdisks, name folders with a slash at the end and some of them twice. Linux takes that (init/initramfs.c): what comes
last at a path is what is there, and a folder that is there already gets the later one's mode and owner.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.cpio import FIELDS, HEADER_SIZE, MAGIC, TRAILER
from enclaver.core.rootfs.entry import PATH_MAX, FileContent, path_text, printable
from enclaver.core.rootfs.regular import open_regular

_HEX: Final = re.compile(rb"[0-9A-Fa-f]{104}\Z")
# Behind the trailer, what fills up a block.
_PADDING: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Scanned:
    """An entry as an archive has it.

    Args:
        path: without slashes at its ends and without ``.`` parts.
        mode: with the bits of its kind, as in stat(2).
        uid, gid: numeric owners.
        links: how many names the archive says that it has.
        device: major and minor, where it is one.
        content: a file's bytes, or a symlink's target; of hard links, only one may have them.
    """

    path: str
    mode: int
    uid: int
    gid: int
    links: int
    device: tuple[int, int]
    content: FileContent

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


def scan(archive: FileContent) -> Iterator[Scanned]:
    """Yield an archive's entries in its order, but for the root folder; contents stay in the file, as slices.

    Raises:
        EnclaverError: the file can't be read or isn't one whole newc archive: it is compressed, for one.
    """
    with open_regular(archive.path) as (file, _):
        scanner = _Scanner(archive, file)
        while (entry := scanner.next()) is not None:
            if entry.path:
                yield entry
        scanner.end()


def unpacked(archive: FileContent) -> Mapping[str, Scanned]:
    """Return what is there when Linux has unpacked an archive, by path. Raises EnclaverError, as ``scan``."""
    return {entry.path: entry for entry in scan(archive)}


@dataclass(slots=True)
class _Scanner:
    archive: FileContent
    file: BinaryIO
    # Counted from the archive's start, as its paddings are.
    offset: int = 0

    def next(self) -> Scanned | None:
        start = self.offset
        header = self._take(HEADER_SIZE)
        if header[:6] != MAGIC or not _HEX.match(header, 6):
            raise self._error("no newc header here (magic 070701)", start)
        fields = FIELDS.unpack(bytes.fromhex(header[6:].decode("ascii")))
        _, mode, uid, gid, links, _, size, _, _, major, minor, length, _ = fields
        if not 1 < length <= PATH_MAX:
            raise self._error(f"a name of {length} bytes", start)
        name, end, _ = self._take(length).partition(b"\0")
        if not end:
            raise self._error("a name without a NUL at its end", start)
        if name == TRAILER:
            return None
        self._align()
        if size > self.archive.size - self.offset:
            raise self._error(f"an entry claims {size} bytes, more than the archive has left", start)
        content = FileContent(self.archive.path, self.archive.offset + self.offset, size)
        self.offset += size
        self._align()
        return Scanned(self._path(name, start), mode, uid, gid, links, (major, minor), content)

    def _path(self, name: bytes, start: int) -> str:
        parts = [part for part in path_text(name).split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._error(f"the name {printable(path_text(name))} leads out of the archive", start)
        return "/".join(parts)

    def end(self) -> None:
        """Refuse anything but zeros behind the trailer: Linux would unpack another archive that follows."""
        rest = self.archive.size - self.offset
        if rest > _PADDING or self._take(rest).strip(b"\0"):
            raise self._error("there is more behind the archive's end", self.offset)

    def _align(self) -> None:
        self.offset = min(self.offset + -self.offset % 4, self.archive.size)

    def _take(self, size: int) -> bytes:
        if size > self.archive.size - self.offset:
            raise self._error("the archive ends within an entry", self.offset)
        self.file.seek(self.archive.offset + self.offset)
        data = self.file.read(size)
        if len(data) != size:
            raise self._error("the file ends within an entry", self.offset)
        self.offset += size
        return data

    def _error(self, what: str, offset: int) -> EnclaverError:
        return EnclaverError(what, file=str(self.archive.path), place=f"offset {self.archive.offset + offset:#x}")
