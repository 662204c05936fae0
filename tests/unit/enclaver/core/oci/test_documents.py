from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import documents, limits
from enclaver.core.rootfs.entry import FileContent
from tests.unit.enclaver.core.oci.archives import refusal, short


def test_a_document_is_read_whole_unless_it_is_huge(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"-[1]")
    assert documents.load(FileContent(path, 1, 3)) == b"[1]"
    with pytest.raises(EnclaverError, match="no such document has more"):
        documents.load(FileContent(path, 0, limits.DOCUMENT + 1))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":1,"a":1}', b'"' + b"\\ud800" * 2, b"1" * 5000], ids=short
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(EnclaverError, match="is no JSON"):
        documents.parse(data)


@given(st.binary(max_size=30))
def test_noise_gives_json_or_one_error(data: bytes) -> None:
    error = refusal(lambda: documents.parse(data))
    assert error is None or "is no JSON" in error.what


VALUE: dict[str, Any] = {
    "text": "x",
    "null": None,
    "list": ["a"],
    "objects": [{}],
    "object": {"k": 1},
    "size": 3,
    "nul": "a\0b",
}


def test_keys_that_are_there_missing_or_null() -> None:
    assert documents.text(VALUE, "text") == "x"
    assert documents.text(VALUE, "missing", "d") == documents.text(VALUE, "null", "d") == "d"
    assert documents.texts(VALUE, "list") == ("a",)
    assert documents.texts(VALUE, "missing") == documents.texts(VALUE, "null") == ()
    assert documents.objects(VALUE, "objects") == [{}]
    assert documents.objects(VALUE, "null") == []
    assert documents.child(VALUE, "object") == {"k": 1}
    assert documents.child(VALUE, "null") == {}
    assert documents.size(VALUE, "size") == 3


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("missing", documents.text),
        ("size", documents.text),
        ("nul", documents.text),
        ("text", documents.texts),
        ("objects", documents.texts),
        ("list", documents.objects),
        ("object", documents.objects),
        ("list", documents.child),
        ("text", documents.size),
        ("missing", documents.size),
    ],
    ids=short,
)
def test_what_is_something_else_is_refused_by_its_key(key: str, read: object) -> None:
    assert callable(read)
    with pytest.raises(EnclaverError, match=f"`{key}"):
        read(VALUE, key)


@pytest.mark.parametrize("value", [True, -1, 1.0, 1e300])
def test_a_size_is_a_whole_number(value: object) -> None:
    with pytest.raises(EnclaverError, match="`size` is not a size in bytes"):
        documents.size({"size": value}, "size")


def test_a_list_without_end_is_refused() -> None:
    with pytest.raises(EnclaverError, match="a list of at most"):
        documents.texts({"x": ["a"] * 10_001}, "x")


@pytest.mark.parametrize("value", ["\ud800", "a\udc80", "\0"])
def test_text_that_no_program_could_be_given_is_none(value: str) -> None:
    with pytest.raises(EnclaverError, match="`Cmd` is not a list of texts"):
        documents.texts({"Cmd": [value]}, "Cmd")
    with pytest.raises(EnclaverError, match="`User` is not a text"):
        documents.text({"User": value}, "User")
