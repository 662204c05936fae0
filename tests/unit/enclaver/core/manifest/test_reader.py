from __future__ import annotations

import pytest

from enclaver.core.manifest.document import Mapping, Node, compose
from enclaver.core.manifest.problems import Place
from enclaver.core.manifest.reader import Fields, Report, kind_name


def read(text: str) -> tuple[Report, Node]:
    """The report, and the value of the one key of ``text``."""
    document = compose(text.encode(), "f")
    assert isinstance(document.root, Mapping)
    return Report(document), document.root.pairs[0][1]


def fields(text: str, level: str = "egress", path: str = "egress") -> tuple[Report, Fields]:
    document = compose(text.encode(), "f")
    report = Report(document)
    result = report.fields(document.root, level, path, Place(1, 1))
    assert result is not None
    return report, result


@pytest.mark.parametrize(
    ("text", "expected"),
    [("v: a", "a"), ("v: 'no'", "no"), ("v: off", "off"), ("v: 2024-01-01", "2024-01-01"), ("v: '1'", "1")],
)
def test_text(text: str, expected: str) -> None:
    report, node = read(text)
    assert report.text(node, "v") == expected
    assert report.problems == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v: 1", "a number (`1`), not text\n"),
        ("v: 1.10", 'put it in quotes: `"1.10"`'),
        ("v: true", "true or false (`true`), not text"),
        ("v: ''", "empty"),
        ("v: ~", "empty"),
        ("v: [a]", "a list, not text"),
        ("v: {a: b}", "without a space after the `:`, or in quotes: `a:b`"),
        ("v: {a: b, c: d}", "a mapping, not text"),
        ('v: "a\\nb"', "line break"),
        ('v: "a\\0b"', r"`a\x00b`"),
        ("v: |\n  a\n", "on one line"),
    ],
)
def test_what_is_no_text(text: str, words: str) -> None:
    report, node = read(text)
    assert report.text(node, "v") is None
    (problem,) = report.problems
    assert words in problem.render("f")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v: '8080'", "remove the quotes: `8080`"),
        ("v: 22:22", "`22:22`, not a whole decimal number"),
        ("v: 1_000", "`1_000`"),
        ("v: 0o17", "`0o17`"),
        ("v: 017", "`017`"),
        ("v: 0x1F", "`0x1F`"),
        ("v: 8080.0", "`8080.0`"),
        ("v: 1e3", "`1e3`"),
        ("v: +5", "`+5`"),
        ("v: yes", "`yes`"),
        ("v: \u0661", "not a whole decimal number"),
        ("v: " + "9" * 5000, "not a whole decimal number"),
        ("v: -1", "from 1 to 65535"),
        ("v: 0", "0, out of its range"),
        ("v: 65536", "from 1 to 65535"),
        ("v: [1]", "a list, not a number"),
        ("v:", "empty"),
    ],
)
def test_what_is_no_port(text: str, words: str) -> None:
    report, node = read(text)
    assert report.integer(node, "v", 1, 65535) is None
    (problem,) = report.problems
    assert words in problem.render("f")


def test_nothing_is_said_twice_about_a_refused_value() -> None:
    report, node = read("v: *x")
    assert len(report.problems) == 1
    assert report.text(node, "v") is None
    assert report.integer(node, "v", 1, 2) is None
    assert report.items(node, "v", "") == ()
    assert report.fields(node, "egress", "v", Place(1, 1)) is None
    assert len(report.problems) == 1


def test_fields_know_keys_places_and_null() -> None:
    report, egress = fields("allow: []\ndeny: null\n")
    assert egress.get("allow") is not None
    assert egress.get("deny") is None
    assert egress.get("proxy_port") is None
    assert egress.place("deny") == Place(2, 1, 4)
    assert egress.place("proxy_port") == Place(1, 1)
    assert egress.path("deny") == "egress.deny"
    assert report.problems == []


def test_unknown_keys_are_problems_at_once() -> None:
    report, _ = fields("alow: []\n")
    assert [(problem.key, problem.cure) for problem in report.problems] == [("egress.alow", "did you mean `allow`?")]


def test_required_keys_are_missing_or_without_value() -> None:
    report, api = fields("listen_port:\n", "api", "api")
    assert api.port("listen_port") is None
    report2, api2 = fields("{}", "api", "api")
    assert api2.port("listen_port") is None
    assert [p.message for p in report.problems + report2.problems] == [
        "`api.listen_port` has no value",
        "`api.listen_port` is missing",
    ]


def test_sections_are_mappings() -> None:
    report, top = fields("egress: [a]\napi: {listen_port: 1}\nkms_proxy:\n", "", "")
    assert top.section("egress", "egress") is None
    assert top.section("kms_proxy", "kms_proxy") is None
    api = top.section("api", "api")
    assert api is not None
    assert api.port("listen_port") == 1
    assert [problem.message for problem in report.problems] == ["`egress` is a list, not a mapping of keys"]


def test_kinds_have_names() -> None:
    assert [kind_name(read(text)[1]) for text in ("v: {}", "v: []", "v: ", "v: a", "v: 1")] == [
        "a mapping",
        "a list",
        "nothing",
        "text (`a`)",
        "a number (`1`)",
    ]
