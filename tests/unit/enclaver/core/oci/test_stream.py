from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci.stream import Chunks, Slice, Stream
from enclaver.core.rootfs.entry import FileContent

DATA = bytes(range(200))


def cut(sizes: list[int]) -> list[bytes]:
    """DATA in pieces of these sizes, the last one being what is left."""
    pieces, rest = [], DATA
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return [*pieces, rest]


@given(st.lists(st.integers(0, 60), max_size=8), st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=12))
def test_chunks_read_as_one(sizes: list[int], steps: list[tuple[bool, int]]) -> None:
    stream, at = Chunks(iter(cut(sizes))), 0
    for taken, size in steps:
        if taken:
            assert stream.take(size) == DATA[at : at + size]
            at = min(at + size, len(DATA))
        elif at + size <= len(DATA):
            stream.skip(size)
            at += size
        else:
            with pytest.raises(EnclaverError, match="ends [0-9]+ bytes too early"):
                stream.skip(size)
            return
        assert stream.offset == at
    assert b"".join(stream.drain()) == DATA[at:]
    assert list(stream.drain()) == [b""]


def slices(tmp_path: Path) -> Stream:
    path = tmp_path / "file"
    path.write_bytes(b"before" + DATA + b"behind")
    return Slice(FileContent(path, 6, len(DATA)))


def test_a_slice_reads_its_part_of_a_file(tmp_path: Path) -> None:
    stream = slices(tmp_path)
    assert stream.take(10) == DATA[:10]
    stream.skip(150)
    assert stream.offset == 160
    assert stream.take(100) == DATA[160:]
    assert stream.take(1) == b""
    stream.skip(0)
    with pytest.raises(EnclaverError, match="ends 1 bytes too early"):
        stream.skip(1)
