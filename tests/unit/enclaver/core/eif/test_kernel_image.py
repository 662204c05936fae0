from __future__ import annotations

import struct
from pathlib import Path

import pytest

from enclaver.core.eif.kernel_image import KernelImage, inspect
from enclaver.core.errors import EnclaverError


def bz_image(release: bytes = b"6.12.95 (builder) #1 SMP\0", offset: int = 0x3000) -> bytes:
    head = bytearray(0x10200)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, offset)
    head[0x200 + offset : 0x200 + offset + len(release)] = release
    return bytes(head)


def found(tmp_path: Path, data: bytes) -> KernelImage:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    return inspect(path)


def test_an_x86_kernel_says_its_release(tmp_path: Path) -> None:
    assert found(tmp_path, bz_image()) == KernelImage("x86_64", "6.12.95")


@pytest.mark.parametrize(
    ("release", "offset"),
    [
        (b"", 0),
        (b"\0", 0x3000),
        (b"\xff\xfe \0", 0x3000),
        (b"\x1b[31m \0", 0x3000),
        (b"x" * 65 + b" \0", 0x3000),
        (b"", 0xFFFF),
    ],
)
def test_a_release_that_is_none(tmp_path: Path, release: bytes, offset: int) -> None:
    assert found(tmp_path, bz_image(release, offset)) == KernelImage("x86_64", "unknown")


def test_an_arm64_kernel(tmp_path: Path) -> None:
    assert found(tmp_path, bytes(56) + b"ARM\x64" + bytes(4)).architecture == "aarch64"


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x1f\x8b", b"HdrS"])
def test_what_is_no_kernel(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EnclaverError, match=r"neither an x86_64 bzImage nor .* Image"):
        found(tmp_path, data + bytes(0x300))


def test_a_header_that_ends_too_early(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="neither"):
        found(tmp_path, bz_image()[:0x208])


def test_a_kernel_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="bzImage: cannot read: No such file"):
        inspect(tmp_path / "bzImage")
    with pytest.raises(EnclaverError, match="Is a directory"):
        inspect(tmp_path)
