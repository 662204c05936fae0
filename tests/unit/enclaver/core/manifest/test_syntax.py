from __future__ import annotations

import time

import pytest
import yaml

from enclaver.core.manifest.problems import Source
from enclaver.core.manifest.syntax import syntax_problem


def problem_of(text: str) -> str:
    with pytest.raises(yaml.YAMLError) as caught:
        list(yaml.parse(text, Loader=yaml.SafeLoader))
    return syntax_problem(caught.value, Source("f", text)).render("f")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a:\n  - *.example.com\n", "f:2:5", '`"*.example.com"`'),
        ("a:\n  - **\n", "f:2:5", '`"**"`'),
        ("a: [*, b]", "f:1:5", '`"*"`'),
        ("a:\n  - [::1]\n", "f:2:5", '`"[::1]"`'),
        ("a:\n  - [2001:db8::1]:443\n", "f:2:5", '`"[2001:db8::1]:443"`'),
        ("a:\n  - [2001:db8::]/32:443\n", "f:2:5", '`"[2001:db8::]/32:443"`'),
        ("a:\n\t- b\n", "f:2:1", "spaces instead of tabs"),
        ("a: @b\n", "f:1:4", "cannot start with `@`"),
        ("a: %b\n", "f:1:4", "cannot start with `%`"),
        ("a: `b`\n", "f:1:4", "in quotes"),
        ("a: b: c\n", "f:1:5", "no key can be"),
        ("a: b\nfoo\nc: d\n", "f:2:1", "neither `key: value` nor a list item"),
        ("a: 'b\nc: d\n", "f:1:4", "never closes"),
        ("a:\n  b: 1\n c: 2\n", "f:3:2", "indentation"),
        ("a:\n  - b\n c\n", "f:3:2", "indentation"),
        ("a: [b\nc: d\n", "f:2:2", "not valid YAML while parsing a flow sequence that starts on line 1"),
        ('a: "\\q"', "f:1:6", "not valid YAML"),
    ],
)
def test_errors_speak_of_manifests(text: str, place: str, words: str) -> None:
    shown = problem_of(text)
    assert shown.startswith(place + ": ")
    assert words in shown


def test_an_error_without_a_place_is_at_the_start() -> None:
    assert syntax_problem(yaml.YAMLError("x"), Source("f", "a")).render("f").startswith("f:1:1: not valid YAML")


@pytest.mark.parametrize("line", ["- [" + "1:" * 50_000, "- " + "[1:" * 300 + "1" * 100_000, "- *" + "*" * 100_000])
def test_a_long_line_costs_little(line: str) -> None:
    started = time.monotonic()
    assert len(problem_of(line)) < 1000
    assert time.monotonic() - started < 5
