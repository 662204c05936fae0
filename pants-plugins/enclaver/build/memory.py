"""How much memory an image needs to boot."""

from __future__ import annotations

from typing import Final

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image

_MEBIBYTE: Final = 1 << 20
# What a small kernel takes for itself, its page tables and its first process's heap.
_KERNEL_MB: Final = 32
# Linux unpacks ramdisks into a tmpfs, which may hold half of the memory that is left beside the kernel and the ramdisks
# (mm/shmem.c, shmem_default_max_blocks; it is mounted while the ramdisks still lie in memory): them, and twice what is
# unpacked. A file that no longer fits is cut, the kernel goes on, and the app then fails for reasons that nobody
# understands. examples/hello, 100 MiB of ramdisks, failed so with 256 and 320 MiB, and ran with 333.
_TIMES: Final = 3


def least_memory_mb(image: Image) -> int:
    """Return the memory, in MiB, below which an image cannot boot; one with compressed ramdisks needs more."""
    ramdisks = sum(section.data.size for section in image.sections if section.kind is SectionType.RAMDISK)
    return _KERNEL_MB + -(-_TIMES * ramdisks // _MEBIBYTE)
