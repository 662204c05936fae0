from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.strict_json import Reader, canonical_json, kind

READ = Reader("f.json", "Mend it.")


def test_good_values_are_handed_on() -> None:
    document = READ.document(b'{"b": [1, "x"], "a": {"k": null}}')
    fields = READ.object(document, None, ("a", "b"))
    assert READ.mapping(fields["a"], "a") == {"k": None}
    first, second = READ.array(fields["b"], "b")
    assert READ.integer(first, "b[0]", 0, 1) == 1
    assert READ.text(second, "b[1]", re.compile("x"), "an x") == "x"
    assert READ.choice(second, "b[1]", ("x", "y")) == "x"
    READ.ordered(["a", "b"], str)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: READ.document(b'{"a": 1, "a": 2}'), "f.json: key 'a': the key is given twice in one object"),
        (lambda: READ.document(b"\xff"), "f.json: byte 0: the file is not UTF-8 text"),
        (lambda: READ.document(b"{\n  x"), "f.json: line 2, column 3: this is not JSON"),
        (lambda: READ.document(b"[" * 100_000), "f.json: the document is nested too deeply"),
        (lambda: READ.document(b"1" * 10_000), "f.json: this is not JSON that can be read"),
        (lambda: READ.document(b"NaN"), "f.json: NaN is not JSON"),
        (lambda: READ.object([], "p", ()), "f.json: p: expected an object, found a list"),
        (lambda: READ.object({"nmae": 1}, "p", ("name",)), "p: unknown key 'nmae'; did you mean 'name'?"),
        (lambda: READ.object({"z": 1}, "p", ("name", "x")), "p: unknown key 'z'; the keys are name, x"),
        (lambda: READ.object({}, "p", ("name",)), "p: the key 'name' is missing"),
        (lambda: READ.mapping("", "p"), "p: expected an object, found text"),
        (lambda: READ.mapping({"b": 1, "a": 1}, "p"), "p: 'a' is out of order; the list must be sorted"),
        (lambda: READ.text(1, "p", re.compile("x"), "an x"), "p: expected an x, found a number"),
        (lambda: READ.text("xx", "p", re.compile("x"), "an x"), "p: 'xx' is not an x"),
        (lambda: READ.choice("z", "p", ("x", "y")), "p: expected one of x, y, found 'z'"),
        (lambda: READ.choice(None, "p", ("x", "y")), "p: expected one of x, y, found null"),
        (lambda: READ.array({}, "p"), "p: expected a list, found an object"),
        (lambda: READ.integer(True, "p", 0, 1), "p: expected a whole number, found true or false"),
        (lambda: READ.integer(2, "p", 0, 1), "p: 2 is out of range; it must be 0 to 1"),
        (lambda: READ.ordered(["a", "a"], lambda index: f"p[{index}]"), "p[1]: 'a' is listed twice"),
    ],
)
def test_what_is_refused(read: Callable[[], object], message: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        read()
    assert message in str(caught.value)
    assert str(caught.value).endswith("\n  Mend it.")


def test_kinds() -> None:
    values: tuple[object, ...] = ({}, [], "", True, None, 1.5)
    assert [kind(value) for value in values] == [
        *("an object", "a list", "text", "true or false", "null", "a number"),
    ]


def test_the_canonical_form() -> None:
    assert canonical_json({"b": 1, "a": "\u00e9"}) == b'{\n  "a": "\\u00e9",\n  "b": 1\n}\n'


@given(st.binary())
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    with suppress(EnclaverError):
        json.loads(canonical_json({"x": READ.document(data)}))
