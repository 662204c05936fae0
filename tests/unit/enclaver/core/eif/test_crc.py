from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.eif.crc import rebased


@given(st.data(), st.integers(0, 600), st.binary(max_size=3000))
def test_it_is_the_crc_of_the_other_beginning_and_the_rest(data: st.DataObject, length: int, rest: bytes) -> None:
    before, after = (data.draw(st.binary(min_size=length, max_size=length)) for _ in range(2))
    crc = rebased(zlib.crc32(before + rest), zlib.crc32(before), zlib.crc32(after), len(rest))
    assert crc == zlib.crc32(after + rest)


@pytest.mark.parametrize("size", [1 << 16, (1 << 24) + 7])
def test_long_rests(size: int) -> None:
    rest = bytes(range(256)) * (size // 256) + bytes(size % 256)
    one, other = zlib.crc32(b"one"), zlib.crc32(b"two")
    assert rebased(zlib.crc32(rest, one), one, other, size) == zlib.crc32(rest, other)


def test_sizes_of_any_file_take_no_time() -> None:
    there = rebased(0, 1, 2, 1 << 60)
    assert rebased(there, 2, 1, 1 << 60) == 0
