"""What a kernel image says about itself: its architecture and its release.

Sources: Documentation/arch/x86/boot.rst ("HdrS" at 0x202, kernel_version at 0x20e) and
Documentation/arch/arm64/booting.rst (magic "ARM\\x64" at 56).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from enclaver.core.eif.format import Architecture
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.regular import open_regular

# The file's name in nitro-cli's blobs folder.
FILE_NAMES: dict[Architecture, str] = {"x86_64": "bzImage", "aarch64": "Image"}
UNKNOWN_RELEASE = "unknown"

_X86_MAGIC = slice(0x202, 0x206), b"HdrS"
_ARM64_MAGIC = slice(56, 60), b"ARM\x64"
# Counted from 0x200, where the setup header's second sector starts.
_X86_VERSION = struct.Struct("<H")
_X86_VERSION_OFFSET = 0x20E
_HEAD_SIZE = 0x10200  # The version's text lies within 64 KiB from 0x200: its offset has 16 bits.


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel image's architecture, and its release (``6.12.95``) where it says it."""

    architecture: Architecture
    release: str


def inspect(path: Path) -> KernelImage:
    """Read what a kernel image says about itself.

    Raises:
        EnclaverError: it can't be read, or is no bootable kernel of a known architecture.
    """
    with open_regular(path) as (file, _):
        head = file.read(_HEAD_SIZE)
    if head[_X86_MAGIC[0]] == _X86_MAGIC[1] and len(head) >= _X86_VERSION_OFFSET + _X86_VERSION.size:
        return KernelImage("x86_64", _x86_release(head))
    if head[_ARM64_MAGIC[0]] == _ARM64_MAGIC[1]:
        return KernelImage("aarch64", UNKNOWN_RELEASE)
    raise EnclaverError(
        "is neither an x86_64 bzImage nor an uncompressed aarch64 Image",
        file=str(path),
        cure="Give the kernel in the form its architecture boots: bzImage or Image, not vmlinux or Image.gz.",
    )


def _x86_release(head: bytes) -> str:
    (offset,) = _X86_VERSION.unpack_from(head, _X86_VERSION_OFFSET)
    text = head[0x200 + offset :].partition(b"\0")[0].partition(b" ")[0] if offset else b""
    if not text or len(text) > 64 or not text.isascii() or not text.decode("ascii").isprintable():
        return UNKNOWN_RELEASE
    return text.decode("ascii")
