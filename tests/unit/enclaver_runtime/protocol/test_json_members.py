from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.json_members import JsonError, join, split, text_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPACE = st.text(alphabet=" \t\r\n", max_size=3)


def test_values_are_as_they_were_written() -> None:
    data = b' {"a" : 1.10 ,\n"b":[1, 2 ],"c":{"d":"}\\u00e9"},"e":1e400,"f":-0,"g":"\xc3\xa9","h":null} '
    members = split(data)
    assert members == {
        "a": "1.10",
        "b": "[1, 2 ]",
        "c": '{"d":"}\\u00e9"}',
        "e": "1e400",
        "f": "-0",
        "g": '"é"',
        "h": "null",
    }
    assert join(members) == (b'{"a":1.10,"b":[1, 2 ],"c":{"d":"}\\u00e9"},"e":1e400,"f":-0,"g":"\xc3\xa9","h":null}')


@pytest.mark.parametrize("data", [b"{}", b" { } "])
def test_an_object_may_be_empty(data: bytes) -> None:
    assert split(data) == {}
    assert join({}) == b"{}"


def test_a_number_of_any_length_is_nobodys_business() -> None:
    assert split(b'{"a":' + b"9" * 10_000 + b"}") == {"a": "9" * 10_000}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "{ is missing at character 0"),
        (b"[]", "{ is missing"),
        (b'"a"', "{ is missing"),
        (b"{", "a key is missing at character 1"),
        (b"{1:2}", "a key is missing"),
        (b'{"a":1,}', "a key is missing"),
        (b'{"a" 1}', ": is missing"),
        (b'{"a":}', "is not JSON"),
        (b'{"a":1 "b":2}', "} is missing"),
        (b'{"a":1}x', "something follows it at character 7"),
        (b"{} {}", "something follows it"),
        (b'{"a":1,"a":2}', "has the key 'a' twice"),
        (b'{"a":1,"\\u0061":2}', "has the key 'a' twice"),
        (b'{"a":NaN}', "NaN is no number"),
        (b'{"a":[Infinity]}', "Infinity is no number"),
        (b'{"a":"\xff"}', "is not JSON in UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "{ is missing"),
        (b'{"a":' + b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_object_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(JsonError, match=why.replace("{", "\\{")):
        split(data)


def test_only_texts_are_texts() -> None:
    assert text_of('"a\\u00e9"') == "aé"
    assert [text_of(value) for value in ("1", "1.5", "null", "true", "[]", '{"a":1}')] == [None] * 6


@given(document=st.dictionaries(st.text(), JSON, max_size=5), space=SPACE)
def test_an_object_that_is_split_and_joined_means_the_same(document: dict[str, object], space: str) -> None:
    data = space + json.dumps(document, separators=("," + space, space + ":")) + space
    members = split(data.encode())
    assert list(members) == list(document)
    assert json.loads(join(members)) == document
    assert {key: json.loads(value) for key, value in members.items()} == document


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\ 1ae.-', max_size=40).map(str.encode))
def test_whatever_comes_there_is_one_error(data: bytes) -> None:
    try:
        expected = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        expected = None
    try:
        members = split(data)
    except JsonError:
        # Python's own reader takes an object that has a key twice.
        assert not isinstance(expected, dict) or data.count(b'"') > 2 * len(expected)
    else:
        assert {key: json.loads(value) for key, value in members.items()} == expected


def _refuse(name: str) -> None:
    raise ValueError(name)
