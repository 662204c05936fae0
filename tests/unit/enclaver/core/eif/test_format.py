from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.eif.format import CRC_OFFSET, HEADER, SECTION_HEADER, Header, lay_out


def test_sizes_are_the_formats() -> None:
    assert HEADER.size == 548
    assert SECTION_HEADER.size == 12
    assert CRC_OFFSET == 544


def test_fields_lie_where_the_format_has_them() -> None:
    raw = Header(flags=1, memory_bytes=1 << 30, cpus=2, sections=((548, 7), (567, 9)), crc=0xDEADBEEF).pack()
    assert raw[:8] == b".eif\x00\x04\x00\x01"
    assert struct.unpack_from(">QQHH", raw, 8) == (1 << 30, 2, 0, 2)
    assert struct.unpack_from(">32Q", raw, 28)[:3] == (548, 567, 0)
    assert struct.unpack_from(">32Q", raw, 284)[:3] == (7, 9, 0)
    assert raw[540:] == bytes(4) + b"\xde\xad\xbe\xef"


def test_architecture_is_bit_0() -> None:
    assert Header(0, 1, 1, ()).architecture == "x86_64"
    assert Header(1, 1, 1, ()).architecture == "aarch64"


@given(st.lists(st.integers(0, 1 << 40), max_size=32))
def test_sections_follow_each_other(sizes: list[int]) -> None:
    end = HEADER.size
    for (offset, size), expected in zip(lay_out(sizes), sizes, strict=True):
        assert (offset, size) == (end, expected)
        end = offset + 12 + size
