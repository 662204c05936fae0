"""The layout of an enclave image file (EIF), version 4. All integers are big-endian.

Source: aws-nitro-enclaves-image-format, src/defs/mod.rs (EifHeader, EifSectionHeader), and files made by it.
A header of 548 bytes is followed by sections, each a header of 12 bytes and its data, without gaps. The
header's table gives each section's offset (of the section's header) and size (without it). The CRC is IEEE's,
as in zlib, over the whole file except the four bytes it lies in.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

MAGIC = b".eif"
VERSION = 4
MAX_SECTIONS = 32
FLAG_AARCH64 = 1

# magic, version, flags, default_mem, default_cpus, reserved, num_sections, offsets, sizes, unused, crc32.
HEADER = struct.Struct(f">4sHHQQHH{MAX_SECTIONS}Q{MAX_SECTIONS}QII")
CRC_OFFSET = HEADER.size - 4
# type, flags, size.
SECTION_HEADER = struct.Struct(">HHQ")

DEFAULT_MEMORY_BYTES = 1 << 30
DEFAULT_CPUS = 2

Architecture = Literal["x86_64", "aarch64"]


class SectionType(IntEnum):
    """What a section holds."""

    KERNEL = 1
    CMDLINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


# What this project reads into memory is capped, whatever a file claims. Linux takes 2,048 bytes of command
# line with its NUL on x86_64 and aarch64; the others are far above what AWS's tools write.
CMDLINE_LIMIT = 2047
SMALL_LIMITS = {
    SectionType.CMDLINE: 1 << 16,
    SectionType.METADATA: 1 << 20,
    SectionType.SIGNATURE: 1 << 16,
}


@dataclass(frozen=True, slots=True)
class Header:
    """The file's header.

    Args:
        flags: bit 0 is set for aarch64.
        memory_bytes, cpus: defaults for who runs it; measured by no register.
        sections: offset and size of each section as in the table.
        crc: the CRC as stored.
    """

    flags: int
    memory_bytes: int
    cpus: int
    sections: tuple[tuple[int, int], ...]
    crc: int = 0

    @property
    def architecture(self) -> Architecture:
        """The architecture that the flags name."""
        return "aarch64" if self.flags & FLAG_AARCH64 else "x86_64"

    def pack(self) -> bytes:
        """Return the header's 548 bytes."""
        unused = (0,) * (MAX_SECTIONS - len(self.sections))
        offsets = tuple(offset for offset, _ in self.sections) + unused
        sizes = tuple(size for _, size in self.sections) + unused
        count = len(self.sections)
        head = (MAGIC, VERSION, self.flags, self.memory_bytes, self.cpus, 0, count)
        return HEADER.pack(*head, *offsets, *sizes, 0, self.crc)


def lay_out(sizes: list[int]) -> tuple[tuple[int, int], ...]:
    """Return the table, (offset, size) per section, for sections of these sizes one after the other."""
    table: list[tuple[int, int]] = []
    offset = HEADER.size
    for size in sizes:
        table.append((offset, size))
        offset += SECTION_HEADER.size + size
    return tuple(table)
