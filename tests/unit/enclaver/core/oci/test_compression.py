from __future__ import annotations

import gzip
import hashlib
import random
import tracemalloc
from collections import deque
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import compression, limits
from enclaver.core.oci.compression import Compression
from enclaver.core.rootfs.entry import CHUNK, FileContent
from tests.unit.enclaver.core.oci.archives import refusal, short

NOISE = random.Random("noise").randbytes(3 * CHUNK // 2)
SKIPPABLE = (0x184D2A53).to_bytes(4, "little") + (10).to_bytes(4, "little") + b"0123456789"


def blob(tmp_path: Path, data: bytes) -> FileContent:
    path = tmp_path / "blob"
    path.write_bytes(b"-" + data + b"-")
    return FileContent(path, 1, len(data))


def unpack(tmp_path: Path, data: bytes) -> bytes:
    content = blob(tmp_path, data)
    seen = hashlib.sha256()
    chunks = list(compression.unpacked(content, compression.detect(content), seen.update))
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
    assert seen.hexdigest() == hashlib.sha256(data).hexdigest()
    return b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (NOISE, Compression.NONE),
        (b"", Compression.NONE),
        (gzip.compress(NOISE), Compression.GZIP),
        (gzip.compress(NOISE[:1000]) + gzip.compress(b"") + gzip.compress(NOISE[1000:]), Compression.GZIP),
        (zstandard.compress(NOISE), Compression.ZSTD),
        (zstandard.compress(NOISE[:1000]) + SKIPPABLE + zstandard.compress(NOISE[1000:]) + SKIPPABLE, Compression.ZSTD),
        (SKIPPABLE + zstandard.compress(NOISE), Compression.ZSTD),
    ],
    ids=short,
)
def test_all_packings_give_the_same(tmp_path: Path, data: bytes, kind: Compression) -> None:
    assert compression.detect(blob(tmp_path, data)) is kind
    assert unpack(tmp_path, data) == (NOISE if data else b"")


@pytest.mark.parametrize(("magic", "name"), [(b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0\0", "xz")])
def test_other_packings_are_refused_by_name(tmp_path: Path, magic: bytes, name: str) -> None:
    with pytest.raises(EnclaverError, match=f"is compressed by {name}"):
        compression.detect(blob(tmp_path, magic))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(NOISE)[:-1], "no sound gzip file: it ends within its data"),
        (gzip.compress(NOISE)[:1000], "no sound gzip file: it ends within its data"),
        (gzip.compress(NOISE)[:5], "no sound gzip file: it ends within its data"),
        (gzip.compress(NOISE) + b"more", "no sound gzip file: incorrect header check"),
        (gzip.compress(NOISE)[:-8] + b"12345678", "no sound gzip file: incorrect data check"),
        (zstandard.compress(NOISE) + b"more", "no sound zstd file"),
        (zstandard.ZstdCompressor(write_checksum=True).compress(NOISE)[:-1] + b"?", "no sound zstd file: .*checksum"),
    ],
    ids=short,
)
def test_damage_is_refused(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        unpack(tmp_path, data)


def zstd_bomb(blocks: int) -> bytes:
    """A zstd frame of blocks that are one byte each, 128 KiB times: 4 bytes make 131,072."""
    size = 128 << 10
    head = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # No content size; a window of 128 KiB.
    block = (size << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return head + block * blocks + (1 << 1 | 1).to_bytes(3, "little") + b"\0"


@pytest.mark.slow
@pytest.mark.parametrize("data", [gzip.compress(bytes(1 << 27)), zstd_bomb(1 << 20)], ids=["gzip", "zstd"])
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, data: bytes) -> None:
    content = blob(tmp_path, data)
    tracemalloc.start()
    try:
        chunks = compression.unpacked(content, compression.detect(content), bytes)
        with pytest.raises(EnclaverError, match="a decompression bomb"):
            deque(chunks, maxlen=0)
        assert tracemalloc.get_traced_memory()[1] < 32 * CHUNK
    finally:
        tracemalloc.stop()


def test_a_window_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    # The window descriptor's largest exponent: 3.75 TiB.
    with pytest.raises(EnclaverError, match="no sound zstd file"):
        unpack(tmp_path, b"\x28\xb5\x2f\xfd\x00\xff" + bytes(100))
    assert limits.WINDOW <= 1 << 27


@given(st.binary(max_size=2000), st.sampled_from([gzip.compress, zstandard.compress]), st.data())
def test_damage_gives_the_data_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, pack: object, draw: st.DataObject
) -> None:
    assert callable(pack)
    packed = bytearray(pack(data))
    packed[draw.draw(st.integers(0, len(packed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    error = refusal(lambda: unpack(tmp_path_factory.getbasetemp(), bytes(packed)))
    assert error is None or "no sound" in error.what
