"""Writes an enclave image file in one pass, measuring it on the way."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from enclaver.core.eif.format import (
    CMDLINE_LIMIT,
    CRC_OFFSET,
    DEFAULT_CPUS,
    DEFAULT_MEMORY_BYTES,
    FLAG_AARCH64,
    MAX_SECTIONS,
    SECTION_HEADER,
    Architecture,
    Header,
    SectionType,
    lay_out,
)
from enclaver.core.eif.sweep import Digests, Piece, sweep
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import Measurements
from enclaver.core.rootfs.entry import Content, InlineContent


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What an image is made of.

    Args:
        architecture: of the kernel.
        kernel: bzImage (x86_64) or Image (aarch64).
        cmdline: the kernel's command line, as measured: no newline, at most 2,047 bytes.
        ramdisks: at least one; the first is PCR1's.
        metadata: JSON, in no register.
        memory_bytes, cpus: the header's defaults, in no register.
    """

    architecture: Architecture
    kernel: Content
    cmdline: str
    ramdisks: Sequence[Content]
    metadata: bytes
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cpus: int = DEFAULT_CPUS

    def sections(self) -> list[tuple[SectionType, Content]]:
        """Return the sections in AWS's order.

        Raises:
            EnclaverError: what can't be an image.
        """
        cmdline = self.cmdline.encode("utf-8", "surrogateescape")
        if len(cmdline) > CMDLINE_LIMIT or b"\0" in cmdline or b"\n" in cmdline:
            raise EnclaverError(
                f"the kernel's command line has {len(cmdline)} bytes, a NUL or a line break",
                cure=f"Linux takes one line of at most {CMDLINE_LIMIT} bytes.",
            )
        if not self.kernel.size:
            raise EnclaverError("the kernel is empty", cure="Give a bzImage or an Image.")
        sections = [
            (SectionType.KERNEL, self.kernel),
            (SectionType.CMDLINE, InlineContent(cmdline)),
            (SectionType.METADATA, InlineContent(self.metadata)),
            *((SectionType.RAMDISK, ramdisk) for ramdisk in self.ramdisks),
        ]
        if not 4 <= len(sections) <= MAX_SECTIONS:
            raise EnclaverError(f"an image has 1 to {MAX_SECTIONS - 3} ramdisks, not {len(self.ramdisks)}")
        return sections


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: size in bytes, registers, and each ramdisk's digests if they were asked for."""

    size: int
    measurements: Measurements
    ramdisks: tuple[Digests, ...]


def write(plan: ImagePlan, out: BinaryIO, *, digests: bool = False) -> Written:
    """Write an image to a seekable file, from where it stands; equal plans give equal bytes.

    Memory doesn't grow with the contents, each of which is read once.

    Raises:
        EnclaverError: the plan can't be an image, or a content can't be read.
    """
    sections = plan.sections()
    header = Header(
        flags=FLAG_AARCH64 if plan.architecture == "aarch64" else 0,
        memory_bytes=plan.memory_bytes,
        cpus=plan.cpus,
        sections=lay_out([content.size for _, content in sections]),
    )
    pieces: list[Piece] = []
    for kind, content in sections:
        pieces.append(Piece(InlineContent(SECTION_HEADER.pack(kind, 0, content.size))))
        pieces.append(Piece(content, kind))
    start = out.tell()
    head = header.pack()
    out.write(head)
    result = sweep(pieces, crc=zlib.crc32(head[:CRC_OFFSET]), out=out, digests=digests)
    end = out.tell()
    # The CRC covers what follows it, so it is known, and filled in, only now.
    out.seek(start)
    out.write(replace(header, crc=result.crc).pack())
    out.seek(end)
    return Written(end - start, result.measurements, result.ramdisks)
