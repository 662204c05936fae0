from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.problems import (
    SHOWN_PROBLEMS,
    ManifestError,
    Place,
    Source,
    TextError,
    listing,
    quote,
)

TEXT = "name: a\nfoo: bar\n\tx\n"


def test_a_problem_shows_place_line_marks_and_cure() -> None:
    source = Source("enclaver.yaml", TEXT)
    problem = source.problem(source.place(2, 1, 3), "unknown key `foo`", "remove it")
    assert problem.render("enclaver.yaml") == (
        "enclaver.yaml:2:1: unknown key `foo`\n    2 | foo: bar\n      | ^^^\n  remove it"
    )
    assert problem.render("x", label="note: ").startswith("x:2:1: note: unknown")


def test_marks_stay_below_their_text_after_a_tab_and_within_a_long_line() -> None:
    source = Source("f", TEXT + "y" * 300 + "BAD" + "z" * 300)
    assert "\n    3 |  x\n      |  ^" in source.problem(source.place(3, 2), "m").render("f")
    shown = source.problem(source.place(4, 301, 3), "m").render("f").splitlines()
    assert shown[1][shown[2].index("^") :].startswith("BAD")
    assert max(map(len, shown)) < 120


def test_an_excerpt_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in Source("f", "a\x1b[31m").problem(Place(1, 1), "m").render("f")
    assert quote("a\x1b\u202e\ud800") == r"`a\x1b\u202e\ud800`"


def test_a_problem_on_an_empty_line_has_no_excerpt() -> None:
    assert Source("f", "").problem(Place(1, 1), "m", "c").render("f") == "f:1:1: m\n  c"


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [(99, 1, (3, 3)), (1, 99, (1, 8)), (0, 0, (1, 1)), (4, 1, (3, 3)), (2, 4, (2, 4))],
)
def test_places_are_inside_the_file(line: int, column: int, expected: tuple[int, int]) -> None:
    place = Source("f", TEXT).place(line, column)
    assert (place.line, place.column) == expected


def test_places_follow_each_kind_of_line_break() -> None:
    assert Source("f", "a\r\nb\rc\nd").lines == ("a", "b", "c", "d")


def test_the_error_holds_all_problems_in_the_order_of_the_file() -> None:
    source = Source("f", TEXT)
    problems = [source.problem(source.place(line, 1), f"p{line}") for line in (2, 1)]
    error = ManifestError("f", problems)
    assert isinstance(error, EnclaverError)
    assert [problem.message for problem in error.problems] == ["p1", "p2"]
    assert str(error).index("p1") < str(error).index("p2")
    assert error.what == "2 problems in the manifest"


def test_the_error_shows_a_bounded_number_of_problems() -> None:
    source = Source("f", TEXT)
    problem = source.problem(source.place(1, 1), "bad")
    text = str(ManifestError("f", [problem] * (SHOWN_PROBLEMS + 7)))
    assert text.count("bad") == SHOWN_PROBLEMS
    assert text.endswith("f: and 7 more problems")


def test_quoted_text_is_clipped() -> None:
    assert len(quote("x" * 1000)) < 70


def test_listing() -> None:
    assert [listing([]), listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"], "and")] == [
        "",
        "a",
        "a or b",
        "a, b and c",
    ]


def test_a_text_error_has_message_and_cure() -> None:
    error = TextError("m", "c")
    assert (str(error), error.message, error.cure) == ("m", "m", "c")
