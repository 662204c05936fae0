"""What a program wants of shared libraries: their names, and the versions of their symbols.

Source: System V ABI, "Program Loading and Dynamic Linking"; the Linux Standard Base, "Symbol Versioning", for what
glibc calls GLIBC_2.34. Only the program header is followed, as the loader does; section headers may be stripped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import elf
from enclaver.core.rootfs.entry import Content, path_text

_MACHINES: Final = ("x86_64", "aarch64")
# All of 64 bits, little-endian: what these machines have.
_PROGRAM_HEADERS: Final = struct.Struct("<Q")  # e_phoff, at 0x20.
_PROGRAM_HEADER_SIZES: Final = struct.Struct("<HH")  # e_phentsize and e_phnum, at 0x36.
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")  # type, flags, offset, vaddr, paddr, filesz, memsz, align.
_DYNAMIC: Final = struct.Struct("<qQ")
# vn_version, vn_cnt, vn_file, vn_aux, vn_next; and vna_hash, vna_flags, vna_other, vna_name, vna_next.
_NEED: Final = struct.Struct("<HHIII")
_NEED_AUX: Final = struct.Struct("<IHHII")
# vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next; and vda_name, vda_next.
_DEFINITION: Final = struct.Struct("<HHHHIII")
_DEFINITION_AUX: Final = struct.Struct("<II")
_LOAD, _DYNAMIC_SEGMENT, _INTERPRETER = 1, 2, 3
_NULL, _NEEDED, _STRINGS = 0, 1, 5
_DEFINITIONS, _DEFINITION_COUNT, _NEEDS, _NEED_COUNT = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
# VER_FLG_WEAK: a library without this version will do.
_WEAK: Final = 2
# Far above any real program's, so that a broken one cannot keep us busy: entries of the dynamic section, and records of
# versions, all in all. Of program headers Linux reads no more than this many bytes.
_MOST: Final = 1 << 16
_MOST_HEADERS: Final = 1 << 16
_NAME_MAX: Final = 4096
#: Programs are read whole; no real one is larger.
LIMIT: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class Needs:
    """A program's or a library's side of dynamic linking.

    Args:
        loader: the program that loads it, such as ``/lib64/ld-linux-x86-64.so.2``; None for a library.
        libraries: names that it wants loaded, such as ``libc.so.6``, in its order.
        versions: pairs of such a name and a version of its symbols, such as ``GLIBC_2.34``, sorted.
        defines: the versions that it has itself.
    """

    loader: str | None = None
    libraries: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    defines: frozenset[str] = frozenset()


def needs(content: Content) -> Needs | None:
    """Return what a program wants; nothing for one that is linked statically, None for what is no 64-bit program.

    Raises:
        EnclaverError: it is damaged, or larger than LIMIT.
    """
    if elf.machine(content.head(elf.HEADER_SIZE)) not in _MACHINES:
        return None
    if content.size > LIMIT:
        raise EnclaverError(f"is a program of {content.size} bytes; {LIMIT} are allowed")
    try:
        return _Program(content.head(LIMIT)).needs()
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise EnclaverError("is a damaged program", cure="Get the file again.") from error


class _Program:
    def __init__(self, data: bytes) -> None:
        self._data = data
        (start,) = _PROGRAM_HEADERS.unpack_from(data, 0x20)
        size, count = _PROGRAM_HEADER_SIZES.unpack_from(data, 0x36)
        if count and (size != _SEGMENT.size or count * size > _MOST_HEADERS):
            raise ValueError("no program headers that Linux takes")
        self._records = 0
        self._segments = [_SEGMENT.unpack_from(data, start + number * size) for number in range(count)]
        self._dynamic: dict[int, list[int]] = {}
        for segment in self._segments:
            if segment[0] == _DYNAMIC_SEGMENT:
                for tag, value in self._entries(segment[2], segment[5]):
                    self._dynamic.setdefault(tag, []).append(value)

    def _entries(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        for number in range(min(size // _DYNAMIC.size, _MOST)):
            tag, value = _DYNAMIC.unpack_from(self._data, offset + number * _DYNAMIC.size)
            if tag == _NULL:
                return
            yield tag, value

    def needs(self) -> Needs:
        if _STRINGS not in self._dynamic:
            return Needs()
        return Needs(
            self._loader(),
            tuple(self._string(offset) for offset in self._dynamic.get(_NEEDED, ())),
            tuple(sorted(self._versions())),
            frozenset(self._defined()),
        )

    def _loader(self) -> str | None:
        for kind, _, offset, _, _, size, _, _ in self._segments:
            if kind == _INTERPRETER:
                return path_text(self._data[offset : offset + min(size, _NAME_MAX)].rstrip(b"\0"))
        return None

    def _versions(self) -> Iterator[tuple[str, str]]:
        for start, (_, count, file, aux, _) in self._chain(_NEED, 4, self._table(_NEEDS), self._count(_NEED_COUNT)):
            for _, (_, flags, _, name, _) in self._chain(_NEED_AUX, 4, start + aux, count):
                if not flags & _WEAK:
                    yield self._string(file), self._string(name)

    def _defined(self) -> Iterator[str]:
        number = self._count(_DEFINITION_COUNT)
        for start, fields in self._chain(_DEFINITION, 6, self._table(_DEFINITIONS), number):
            # Of several names the first is its own; the others are those that it follows.
            name, _ = _DEFINITION_AUX.unpack_from(self._data, start + fields[5])
            yield self._string(name)

    def _chain(self, form: struct.Struct, link: int, start: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield up to ``count`` records, each with its place, of which field ``link`` says how far the next one is."""
        for _ in range(count):
            self._records += 1
            if self._records > _MOST:
                raise ValueError("more records of versions than any program has")
            fields = form.unpack_from(self._data, start)
            yield start, fields
            if not fields[link]:
                return
            start += fields[link]

    def _count(self, tag: int) -> int:
        return self._dynamic.get(tag, [0])[0]

    def _table(self, tag: int) -> int:
        return self._offset(self._dynamic[tag][0]) if tag in self._dynamic else 0

    def _string(self, offset: int) -> str:
        start = self._offset(self._dynamic[_STRINGS][0]) + offset
        end = self._data.index(b"\0", start, start + _NAME_MAX)
        return path_text(self._data[start:end])

    def _offset(self, address: int) -> int:
        """Return where in the file an address of the running program lies."""
        for kind, _, offset, start, _, size, _, _ in self._segments:
            if kind == _LOAD and start <= address < start + size:
                return int(offset + address - start)
        raise ValueError(f"no part of the file is loaded at {address:#x}")
