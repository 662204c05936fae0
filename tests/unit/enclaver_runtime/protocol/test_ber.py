from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enclaver_runtime.protocol import ber
from enclaver_runtime.protocol.ber import BerError, Element
from tests.cms_messages import definite, indefinite

PIECES = st.lists(st.binary(max_size=300), max_size=4)


def test_definite_and_indefinite_lengths_mean_the_same() -> None:
    inner = definite(0x02, b"\x01") + definite(0x04, b"x" * 300)
    tree = Element(0x30, b"", (Element(0x02, b"\x01"), Element(0x04, b"x" * 300)))
    assert ber.parse(definite(0x30, inner)) == tree
    assert ber.parse(indefinite(0x30, inner)) == tree


def test_a_length_may_be_longer_than_it_has_to() -> None:
    assert ber.parse(b"\x04\x84\0\0\0\x01x") == Element(0x04, b"x")


@given(PIECES)
def test_octets_are_the_same_in_any_form(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    parts = b"".join(definite(0x04, piece) for piece in pieces)
    nested = indefinite(0x24, definite(0x24, parts))
    for form in (definite(0x04, whole), definite(0x24, parts), indefinite(0x24, parts), nested):
        assert ber.parse(form).octets() == whole


def test_a_piece_of_another_type_is_refused() -> None:
    with pytest.raises(BerError, match="a piece of an OCTET STRING is none"):
        ber.parse(indefinite(0xA0, definite(0x04, b"a") + definite(0x02, b"b"))).octets()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (b"\x04", "cut off"),
        (b"\x04\x02x", "cut off"),
        (b"\x04\x82\x01", "cut off"),
        (b"\x04\x82\x01\x00x", "cut off"),
        (b"\x04\xff" + b"\xff" * 127, "cut off"),
        (b"\x30\x80\x04\x01x", "cut off"),
        (b"\x30\x80\x04\x01x\0", "cut off"),
        (b"\x30\x03\x04\x02x" + b"y", "cut off"),
        (b"\x30\x05\x30\x80\x04\x01x\0\0", "cut off"),
        (b"\x04\x80x\0\0", "a primitive value has no end"),
        (b"\x04\x01xy", "something follows"),
        (b"\0\0", "a tag that no CMS has"),
        (b"\x30\x02\0\0", "a tag that no CMS has"),
        (b"\x1f\x81\x01\0", "a tag that no CMS has"),
        (b"\x30\x80" * 40 + b"\0\0" * 40, "nested too deep"),
        (b"\x30\x80" * 100_000, "nested too deep"),
    ],
)
def test_what_is_not_ber_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BerError, match=why):
        ber.parse(data)


@given(st.binary(max_size=80))
@example(b"\x30\x80\0\0")
def test_whatever_comes_is_read_whole_or_there_is_one_error(data: bytes) -> None:
    try:
        element = ber.parse(data)
    except BerError:
        return
    # Written again with definite lengths, it is the same tree.
    assert ber.parse(written(element)) == element


def written(element: Element) -> bytes:
    content = b"".join(written(child) for child in element.children) if element.is_constructed else element.data
    return definite(element.tag, content)
