"""Reads an enclave image file strictly: what it takes, AWS's tools take, and no byte is left unexplained.

Nothing is allocated for what a header merely claims: sizes are held against the file's own first.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from enclaver.core.eif.format import (
    CRC_OFFSET,
    FLAG_AARCH64,
    HEADER,
    MAGIC,
    MAX_SECTIONS,
    SECTION_HEADER,
    SMALL_LIMITS,
    VERSION,
    Header,
    SectionType,
)
from enclaver.core.eif.signature import Signature, parse_signature
from enclaver.core.eif.sweep import Piece, sweep
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import Measurements, register_of
from enclaver.core.rootfs.entry import FileContent, InlineContent
from enclaver.core.rootfs.regular import open_regular

_AGAIN = "Build or copy the image again."


class EifError(EnclaverError):
    """A file that is no sound enclave image."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: what it holds, the offset of its header, and where its data lies."""

    kind: SectionType
    offset: int
    data: FileContent


@dataclass(frozen=True, slots=True)
class Image:
    """An image whose structure and CRC are sound.

    Args:
        path: the file.
        size: in bytes.
        header: as stored.
        sections: in the file's order.
        cmdline: the kernel's command line; bytes that aren't UTF-8 as surrogateescape.
        metadata: the metadata section's JSON object, None without one.
        signature: the signature section, None without one; not verified yet (``Signature.verify``).
        measurements: computed from the sections, PCR8 when there is a signature.
    """

    path: Path
    size: int
    header: Header
    sections: tuple[Section, ...]
    cmdline: str
    metadata: dict[str, Any] | None
    signature: Signature | None
    measurements: Measurements


def read(path: Path) -> Image:
    """Read and check an image in one pass, in constant memory.

    Raises:
        EifError: it isn't a sound image; says where and why.
        EnclaverError: it can't be read.
    """
    with open_regular(path) as (file, size):
        raw = file.read(HEADER.size)
        header = _header(raw, size, str(path))
        sections = tuple(_sections(path, file, header, size))
        _check_order(sections, str(path))
        small = {section.kind: _small(file, section) for section in sections if section.kind in SMALL_LIMITS}
    found = sweep(list(_pieces(sections)), crc=zlib.crc32(raw[:CRC_OFFSET]))
    if found.crc != header.crc:
        raise EifError(
            f"the CRC is {found.crc:08x} and the header says {header.crc:08x}: the file is damaged",
            file=str(path),
            place=f"offset {CRC_OFFSET:#x}",
            cure=_AGAIN,
        )
    signature, measurements = None, found.measurements
    if SectionType.SIGNATURE in small:
        with _named(path, SectionType.SIGNATURE):
            signature = parse_signature(small[SectionType.SIGNATURE])
        measurements = replace(measurements, pcr8=register_of(signature.certificate_der))
    metadata = None
    if SectionType.METADATA in small:
        metadata = _metadata(small[SectionType.METADATA], str(path))
    cmdline = small[SectionType.CMDLINE].decode("utf-8", "surrogateescape")
    return Image(path, size, header, sections, cmdline, metadata, signature, measurements)


@contextmanager
def _named(path: Path, kind: SectionType) -> Iterator[None]:
    """Name the file and the section in an error from one section's data."""
    try:
        yield
    except EnclaverError as error:
        raise EifError(error.what, file=str(path), place=_place(kind), cure=error.cure) from error


def _place(kind: SectionType) -> str:
    return f"{kind.name.lower()} section"


def _header(raw: bytes, size: int, file: str) -> Header:
    if raw[:4] != MAGIC:
        raise EifError("is not an enclave image: it does not start with '.eif'", file=file, place="offset 0x0")
    if len(raw) < HEADER.size:
        raise EifError(f"ends within the header, after {size} bytes", file=file, cure=_AGAIN)
    _, version, flags, memory, cpus, _, count, *table, _, crc = HEADER.unpack(raw)
    if version != VERSION:
        raise EifError(
            f"is of version {version}; this reads version {VERSION}",
            file=file,
            place="offset 0x4",
            cure="Build the image with a current nitro-cli or enclaver.",
        )
    if flags & ~FLAG_AARCH64:
        raise EifError(f"has unknown flags {flags:#06x}", file=file, place="offset 0x6", cure=_AGAIN)
    if not 1 <= count <= MAX_SECTIONS:
        raise EifError(
            f"claims {count} sections; there are 1 to {MAX_SECTIONS}", file=file, place="offset 0x1a", cure=_AGAIN
        )
    offsets, sizes = table[:MAX_SECTIONS], table[MAX_SECTIONS:]
    return Header(flags, memory, cpus, tuple(zip(offsets[:count], sizes[:count], strict=True)), crc)


def _sections(path: Path, file: BinaryIO, header: Header, size: int) -> Iterator[Section]:
    expected = HEADER.size
    for number, (offset, length) in enumerate(header.sections):
        place = f"section {number}"

        def error(what: str, place: str = place) -> EifError:
            return EifError(what, file=str(path), place=place, cure=_AGAIN)

        if offset < expected:
            raise error(f"overlaps what lies before it: starts at {offset:#x}, before {expected:#x}")
        if offset + SECTION_HEADER.size + length > size:
            raise error(f"goes beyond the file's end: {offset:#x} and {length} bytes of {size}")
        if offset > expected:
            raise error(f"leaves {offset - expected} bytes before it that belong to no section")
        file.seek(offset)
        raw = file.read(SECTION_HEADER.size)
        if len(raw) != SECTION_HEADER.size:
            raise error("the file ends within its header")
        kind, flags, claimed = SECTION_HEADER.unpack(raw)
        if kind not in iter(SectionType):
            raise error(f"is of the unknown type {kind}")
        if flags:
            raise error(f"has unknown flags {flags:#06x}")
        if claimed != length:
            raise error(f"its header says {claimed} bytes and the file's table {length}")
        expected = offset + SECTION_HEADER.size + length
        data = FileContent(path, offset + SECTION_HEADER.size, length)
        yield Section(SectionType(kind), offset, data)
    if expected != size:
        raise EifError(
            f"{size - expected} bytes behind the last section belong to none",
            file=str(path),
            place=f"offset {expected:#x}",
            cure=_AGAIN,
        )


def _check_order(sections: Sequence[Section], file: str) -> None:
    kinds = [section.kind for section in sections]
    for kind in (SectionType.KERNEL, SectionType.CMDLINE, SectionType.RAMDISK):
        if kind not in kinds:
            raise EifError(f"has no {_place(kind)}", file=file, cure=_AGAIN)
    for kind in set(kinds) - {SectionType.RAMDISK}:
        if kinds.count(kind) > 1:
            raise EifError(f"has more than one {_place(kind)}", file=file, cure=_AGAIN)
    if kinds.index(SectionType.RAMDISK) < max(kinds.index(SectionType.KERNEL), kinds.index(SectionType.CMDLINE)):
        # The order is part of what PCR0 measures; no tool writes another one.
        raise EifError("has a ramdisk before the kernel or the command line", file=file, cure=_AGAIN)


def _small(file: BinaryIO, section: Section) -> bytes:
    limit = SMALL_LIMITS[section.kind]
    if section.data.size > limit:
        raise EifError(
            f"is {section.data.size} bytes; {limit} are the most that is read",
            file=str(section.data.path),
            place=_place(section.kind),
        )
    file.seek(section.data.offset)
    return file.read(section.data.size)


def _pieces(sections: Sequence[Section]) -> Iterator[Piece]:
    for section in sections:
        yield Piece(InlineContent(SECTION_HEADER.pack(section.kind, 0, section.data.size)))
        yield Piece(section.data, section.kind)


def _metadata(raw: bytes, file: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise EifError("is not JSON", file=file, place=_place(SectionType.METADATA), cure=_AGAIN) from error
    if not isinstance(document, dict):
        raise EifError("is no JSON object", file=file, place=_place(SectionType.METADATA), cure=_AGAIN)
    return document
