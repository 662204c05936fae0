"""How much memory an image needs to boot."""

from __future__ import annotations

from typing import Final

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image
from enclaver.core.errors import EnclaverError

_MEBIBYTE: Final = 1 << 20
# What a small kernel takes for itself, its page tables and its first process's heap.
_KERNEL_MB: Final = 32
# Linux unpacks ramdisks into a tmpfs, which may hold half of the memory that is left beside the kernel and the ramdisks
# (mm/shmem.c, shmem_default_max_blocks; it is mounted while the ramdisks still lie in memory): them, and twice what is
# unpacked. A file that no longer fits is cut, the kernel goes on, and the app then fails for reasons that nobody
# understands. examples/hello, 100 MiB of ramdisks, failed so with 256 and 320 MiB, and ran with 333.
_TIMES: Final = 3
# What nitro-cli asks for at least (its error E26): the image as a whole so many times, in whole MiB. AWS's tools say so
# since their issue 196; the reason is the one above, with compressed ramdisks.
_NITRO_TIMES: Final = 4


def least_memory_mb(image: Image) -> int:
    """Return the memory, in MiB, below which an image cannot boot; one with compressed ramdisks needs more."""
    ramdisks = sum(section.data.size for section in image.sections if section.kind is SectionType.RAMDISK)
    return _KERNEL_MB + -(-_TIMES * ramdisks // _MEBIBYTE)


def least_nitro_memory_mb(image: Image) -> int:
    """Return the memory, in MiB, below which nitro-cli makes no enclave of an image."""
    return _NITRO_TIMES * -(-image.size // _MEBIBYTE)


def check_memory(image: Image, memory_mb: int, *, on_nitro: bool) -> list[str]:
    """Refuse memory that an image cannot run with, before anything is started.

    Returns:
        What is to be said of memory that does here, and not on Nitro.

    Raises:
        EnclaverError: it is too little.
    """
    least, nitro = least_memory_mb(image), least_nitro_memory_mb(image)
    if on_nitro and memory_mb < nitro:
        raise EnclaverError(
            f"an enclave of {memory_mb} MiB is too small for the image: Nitro wants {_NITRO_TIMES} times its size",
            file=str(image.path),
            cure=_cure(max(nitro, least)),
        )
    if memory_mb < least:
        raise EnclaverError(
            f"the image cannot boot with {memory_mb} MiB of memory: what it unpacks does not fit",
            file=str(image.path),
            cure=_cure(least),
        )
    if memory_mb < nitro:
        return [f"{memory_mb} MiB would be too little on Nitro, which wants {nitro}: {_NITRO_TIMES} times the image"]
    return []


def _cure(memory_mb: int) -> str:
    return f"Give it --memory-mb {memory_mb} or more, and `defaults.memory_mb` in its manifest."
