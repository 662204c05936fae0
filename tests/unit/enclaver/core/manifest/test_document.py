from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.document import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    Broken,
    Kind,
    Mapping,
    Scalar,
    Sequence,
    compose,
)
from enclaver.core.manifest.problems import ManifestError


def refusal(data: bytes | str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        compose(data.encode() if isinstance(data, str) else data, "f")
    return caught.value


def value(text: str) -> Scalar:
    root = compose(f"k: {text}".encode(), "f").root
    assert isinstance(root, Mapping)
    scalar = root.pairs[0][1]
    assert isinstance(scalar, Scalar)
    return scalar


def test_nodes_know_their_places() -> None:
    root = compose(b"a:\n  - 'b c'\n  - {d: 1}\n", "f").root
    assert isinstance(root, Mapping)
    (key, items), *_ = root.pairs
    assert (key.value, key.place.line, key.place.column, key.place.width) == ("a", 1, 1, 1)
    assert isinstance(items, Sequence)
    text, inner = items.items
    assert isinstance(text, Scalar)
    assert (text.value, text.plain, text.place.line, text.place.column, text.place.width) == ("b c", False, 2, 5, 5)
    assert isinstance(inner, Mapping)
    assert inner.pairs[0][1] == Scalar(inner.pairs[0][1].place, "1", True)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.NULL),
        ("~", Kind.NULL),
        ("Null", Kind.NULL),
        ("true", Kind.BOOL),
        ("FALSE", Kind.BOOL),
        ("12", Kind.INT),
        ("-1", Kind.INT),
        ("0o17", Kind.INT),
        ("0x1F", Kind.INT),
        ("017", Kind.INT),
        ("1.5", Kind.FLOAT),
        ("1e3", Kind.FLOAT),
        (".inf", Kind.FLOAT),
        # What YAML 1.1 takes for booleans, sexagesimal and other numbers, and dates is text.
        ("no", Kind.TEXT),
        ("on", Kind.TEXT),
        ("22:22", Kind.TEXT),
        ("1_000", Kind.TEXT),
        ("2024-01-01", Kind.TEXT),
        ("'12'", Kind.TEXT),
        ('""', Kind.TEXT),
        ("|\n  12", Kind.TEXT),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, kind: Kind) -> None:
    assert value(text).kind is kind


def test_duplicate_keys_are_problems_and_the_first_stays() -> None:
    document = compose(b"a: 1\nb: 2\na: 3\n", "f")
    assert [(p.place.line, p.place.column) for p in document.problems] == [(3, 1)]
    assert "`a` is there twice; the first is on line 1" in document.problems[0].message
    assert isinstance(document.root, Mapping)
    assert [(key.value, node.value) for key, node in document.root.pairs if isinstance(node, Scalar)] == [
        ("a", "1"),
        ("b", "2"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1", "`&x` is a YAML anchor"),
        ("a: *x", "`*x` is a YAML alias"),
        ("a: !!python/name:os.system x", "python/name:os.system` has no meaning"),
        ("a: !custom [1]", "`!custom` has no meaning"),
        ("<<: {a: 1}", "merge key"),
        ("? [a]\n: b", "used as a key"),
        ("? {a: b}\n: b", "used as a key"),
    ],
)
def test_yaml_beyond_plain_data_is_a_problem(text: str, words: str) -> None:
    (problem,) = compose(text.encode(), "f").problems
    assert words in problem.message
    assert problem.cure


def test_an_alias_leaves_a_value_nothing_more_is_said_about() -> None:
    root = compose(b"a: *x", "f").root
    assert isinstance(root, Mapping)
    assert isinstance(root.pairs[0][1], Broken)


def test_an_alias_bomb_is_not_expanded() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    document = compose("\n".join(lines).encode(), "f")
    assert len(document.problems) == 60 + 2 * 59


@pytest.mark.parametrize("opener", ["[", "{", "- ", "? ", "[{a: ", "- - ? "])
def test_deep_nesting_is_refused_quickly(opener: str) -> None:
    started = time.monotonic()
    error = refusal(opener * 20_000)
    assert f"deeper than {MAX_DEPTH}" in str(error)
    # pyyaml alone takes minutes on the first of these.
    assert time.monotonic() - started < 5


def test_nesting_up_to_the_bound_is_read() -> None:
    compose(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "f")
    refusal(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.slow
def test_too_many_values_are_refused() -> None:
    assert f"more than {MAX_NODES} values" in str(refusal("- a\n" * (MAX_NODES + 1)))


def test_a_large_file_is_refused() -> None:
    assert "larger than" in str(refusal(b"#" * (MAX_BYTES + 1)))
    assert "empty" in str(refusal(b"#" * MAX_BYTES))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~", "null"])
def test_an_empty_file_is_named_so(text: str) -> None:
    assert "f:1:1: the manifest is empty" in str(refusal(text))


def test_a_second_document_is_refused_at_its_place() -> None:
    assert str(refusal("a: 1\n---\nb: 2\n")).startswith("f:2:1: a second YAML document begins here")
    compose(b"%YAML 1.2\n---\na: 1\n...\n", "f")


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"a: b\nc: \xc3(", "f:2:4", "byte 0xc3 is not UTF-8"),
        ("a: \u00e9\ufffdx".encode() + b"\xff", "f:1:7", "byte 0xff"),
        ("a: b".encode("utf-16"), "f:1:1", "UTF-16"),
        (b"a: \0", "f:1:4", "U+0000"),
        (b"a: b\r\n\x1bc", "f:2:1", "U+001B"),
        ("a: b\u2028c".encode(), "f:1:5", "U+2028"),
        ("a: b\x85c".encode(), "f:1:5", "U+0085"),
        ("a: \ufeffb".encode(), "f:1:4", "U+FEFF"),
    ],
)
def test_bytes_that_are_no_text_are_refused_at_their_place(data: bytes, place: str, words: str) -> None:
    text = str(refusal(data))
    assert text.startswith(place + ":")
    assert words in text


def test_a_byte_order_mark_is_a_note() -> None:
    document = compose(b"\xef\xbb\xbfa: 1", "f")
    assert "byte order mark" in document.notes[0].message
    assert isinstance(document.root, Mapping)
    assert document.root.pairs[0][0].place.column == 1


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"', "%YAML " + "1" * 5000 + ".1\n---\na", '"\\U00110000"'])
def test_what_pyyaml_raises_by_accident_is_a_problem_too(text: str) -> None:
    assert "out of range" in str(refusal(text))


def test_earlier_problems_are_shown_with_a_syntax_error() -> None:
    assert len(refusal("a: 1\na: 2\nb: 'x\n").problems) == 2


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(ManifestError):
        compose(data, "f")
