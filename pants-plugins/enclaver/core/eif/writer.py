"""Writes an enclave image file in one pass, measuring it on the way, and signs what it has measured."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from enclaver.core.eif.crc import rebased
from enclaver.core.eif.format import (
    CMDLINE_LIMIT,
    CRC_OFFSET,
    DEFAULT_CPUS,
    DEFAULT_MEMORY_BYTES,
    FLAG_AARCH64,
    HEADER,
    MAX_SECTIONS,
    SECTION_HEADER,
    Architecture,
    Header,
    SectionType,
    lay_out,
)
from enclaver.core.eif.sweep import Digests, Piece, sweep
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr.measure import Measurements, register_of
from enclaver.core.rootfs.entry import Content, InlineContent, Readable


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
    ramdisks: Sequence[Readable]
    metadata: bytes
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cpus: int = DEFAULT_CPUS

    def sections(self, *, signed: bool = False) -> list[tuple[SectionType, Readable]]:
        """Return the sections in AWS's order, all but the signature, which ``signed`` leaves room for.

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
        sections: list[tuple[SectionType, Readable]] = [
            (SectionType.KERNEL, self.kernel),
            (SectionType.CMDLINE, InlineContent(cmdline)),
            (SectionType.METADATA, InlineContent(self.metadata)),
            *((SectionType.RAMDISK, ramdisk) for ramdisk in self.ramdisks),
        ]
        most = MAX_SECTIONS - signed
        if not 4 <= len(sections) <= most:
            what = "a signed image" if signed else "an image"
            raise EnclaverError(f"{what} has 1 to {most - 3} ramdisks, not {len(self.ramdisks)}")
        return sections


class Signs(Protocol):
    """Who signs an image: ``core.eif.signing.Signer``, known here by what is asked of it, so that an image without a
    signature is written without loading any cryptography."""

    @property
    def certificate_der(self) -> bytes:
        """The certificate's DER, the content that PCR8 measures."""

    @property
    def subject(self) -> str:
        """The certificate's subject, for people."""

    def section(self, pcr0: bytes) -> bytes:
        """Sign PCR0; return the signature section's data. Raises EnclaverError."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: size in bytes, registers, and each ramdisk's digests if they were asked for."""

    size: int
    measurements: Measurements
    ramdisks: tuple[Digests, ...]


def write(plan: ImagePlan, out: BinaryIO, *, digests: bool = False, signer: Signs | None = None) -> Written:
    """Write an image to a seekable file, from where it stands; equal plans give equal bytes, signed ones if the signer
    makes equal signatures.

    Memory doesn't grow with the contents, each of which is read once.

    Args:
        plan: the image.
        out: where to.
        digests: also digest each ramdisk by itself.
        signer: signs PCR0 once it is known.

    Raises:
        EnclaverError: the plan can't be an image, a content can't be read, or the signer failed.
    """
    sections = plan.sections(signed=signer is not None)
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
    out.write(header.pack())
    result = sweep(pieces, crc=_crc(header), out=out, digests=digests)
    # The CRC covers what follows it, so it is known, and filled in, only now.
    header = replace(header, crc=result.crc)
    measurements = result.measurements
    if signer is not None:
        header = _append(header, signer.section(measurements.pcr0), out)
        measurements = replace(measurements, pcr8=register_of(signer.certificate_der))
    end = out.tell()
    out.seek(start)
    out.write(header.pack())
    out.seek(end)
    return Written(end - start, measurements, result.ramdisks)


def _append(header: Header, signature: bytes, out: BinaryIO) -> Header:
    """Write a signature section behind all others; return the header of the file that has it.

    Its size is known only when PCR0 is, so the header's table changes after its CRC was taken. What lies between the
    two is not read again for that.
    """
    table = lay_out([*(size for _, size in header.sections), len(signature)])
    longer = replace(header, sections=table)
    between = table[-1][0] - HEADER.size
    crc = rebased(header.crc, _crc(header), _crc(longer), between)
    section = SECTION_HEADER.pack(SectionType.SIGNATURE, 0, len(signature)) + signature
    out.write(section)
    return replace(longer, crc=zlib.crc32(section, crc))


def _crc(header: Header) -> int:
    """Return the CRC of a header, without the four bytes it lies in."""
    return zlib.crc32(header.pack()[:CRC_OFFSET])
