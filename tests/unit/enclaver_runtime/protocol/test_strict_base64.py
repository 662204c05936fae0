from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.strict_base64 import decode


@given(st.binary(max_size=100))
def test_what_is_encoded_comes_back_with_and_without_its_padding(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode(text) == data
    assert decode(text.rstrip("=")) == data


@pytest.mark.parametrize(
    "text",
    [
        *("A", "A===", "=", "AA=", "AAA==", "AAAA=", "AA==AA==", "A A=", "AA\n==", "AAAA\n"),
        *("_-AA", "ÄA==", "\u0410" * 4),
    ],
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^is not base64 in the standard alphabet"):
        decode(text)


@pytest.mark.parametrize("text", ["AB==", "AAB=", "AB", "AAB"])
def test_bits_that_stand_for_nothing_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^is base64 whose last character"):
        decode(text)


@given(st.text(max_size=12) | st.text("AB+/=", max_size=8))
def test_there_is_one_text_for_the_same_bytes_but_for_its_padding(text: str) -> None:
    try:
        data = decode(text)
    except ValueError:
        return
    assert text in (base64.b64encode(data).decode(), base64.b64encode(data).decode().rstrip("="))
