from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.log import CAPACITY, LogRing


def test_a_new_ring_is_empty() -> None:
    ring = LogRing()
    assert (ring.start, ring.end) == (0, 0)
    assert ring.read(0, 100) == (b"", 0)


def test_the_ring_keeps_the_last_128_kib() -> None:
    ring = LogRing()
    ring.append(b"a" * CAPACITY)
    ring.append(b"bc")
    assert (ring.start, ring.end) == (2, CAPACITY + 2)
    data, position = ring.read(0, CAPACITY * 2)
    assert data == b"a" * (CAPACITY - 2) + b"bc"
    assert position == ring.end


def test_a_reader_that_fell_behind_goes_on_at_the_oldest_byte() -> None:
    ring = LogRing(4)
    ring.append(b"abcd")
    assert ring.read(0, 2) == (b"ab", 2)
    ring.append(b"efghij")
    assert ring.read(2, 100) == (b"ghij", 10)


def test_a_ring_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LogRing(0)


@given(st.integers(1, 20), st.lists(st.binary(max_size=50), max_size=12), st.integers(1, 7))
def test_the_ring_is_the_end_of_all_that_was_appended(capacity: int, pieces: list[bytes], limit: int) -> None:
    ring, everything = LogRing(capacity), b""
    for piece in pieces:
        ring.append(piece)
        everything += piece
        read, position = b"", 0
        while True:
            data, position = ring.read(position, limit)
            if not data:
                break
            assert len(data) <= limit
            read += data
        assert read == everything[-capacity:]
        assert position == ring.end == len(everything)
