from __future__ import annotations

import pytest

from enclaver.core.manifest.document import compose
from enclaver.core.manifest.egress_section import read_egress
from enclaver.core.manifest.model import Egress
from enclaver.core.manifest.ports import PortUse
from enclaver.core.manifest.problems import Place
from enclaver.core.manifest.reader import Report


def read(text: str) -> tuple[Report, Egress, list[PortUse]]:
    document = compose(text.encode(), "f")
    report = Report(document)
    ports: list[PortUse] = []
    egress = read_egress(report.fields(document.root, "egress", "egress", Place(1, 1)), report, ports)
    assert egress is not None
    return report, egress, ports


def test_entries_keep_their_order_and_places() -> None:
    report, egress, ports = read("allow:\n  - b.com\n  - a.com:443\ndeny: [c.com]\nproxy_port: 9999\n")
    assert [entry.text for entry in egress.allow] == ["b.com", "a.com:443"]
    assert [entry.text for entry in egress.deny] == ["c.com"]
    assert report.places["egress.allow[1]"] == Place(3, 5, 9)
    assert report.problems == report.notes == []
    assert [(use.port, use.implied) for use in ports] == [(9999, False)]


@pytest.mark.parametrize("text", ["{}", "allow:", "allow: null", "allow: []", "deny: [a.com]", "proxy_port: 1"])
def test_without_allow_entries_no_proxy_runs(text: str) -> None:
    report, egress, ports = read(text)
    assert not egress.enabled
    assert ports == []
    assert ["allows nothing" in note.message for note in report.notes] == [True]


def test_the_default_port_is_implied() -> None:
    _, egress, ports = read("allow: [a.com]")
    assert egress.proxy_port == 10000
    assert [(use.port, use.implied) for use in ports] == [(10000, True)]


def test_entries_that_say_the_same_are_noted_and_taken_once() -> None:
    report, egress, _ = read("allow:\n  - a.com\n  - A.com.\ndeny: [b.com]\n")
    assert [entry.text for entry in egress.allow] == ["a.com"]
    assert [(note.place.line, note.message) for note in report.notes] == [(3, "`a.com` is there already, on line 2")]


def test_an_entry_that_is_denied_too_is_noted() -> None:
    report, _, _ = read("allow: [a.com]\ndeny: [a.com]\n")
    assert ["deny beats allow" in note.message for note in report.notes] == [True]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("*", "only names of one label"),
        ("*.*.*.*", "names of four labels, and no addresses"),
        ("localhost", "write `host`"),
        ("127.0.0.1:8080", "write `host`"),
        ("::1", "write `host`"),
    ],
)
def test_entries_that_surprise_are_noted(entry: str, words: str) -> None:
    report, _, _ = read(f"allow: ['{entry}']")
    (note,) = report.notes
    assert words in note.render("f")
    assert read(f"allow: [a.com]\ndeny: ['{entry}']")[0].problems == []


def test_a_denied_loopback_is_no_surprise() -> None:
    assert read("allow: ['**']\ndeny: ['127.0.0.0/8']")[0].notes == []


def test_a_list_folded_by_indentation_is_shown_where_it_folds() -> None:
    report, _, _ = read("allow:\n  - a.com\n\n    - b.com\n    - c.com\n")
    (problem,) = report.problems
    assert problem.render("f").startswith("f:4:5: `a.com - b.com - c.com` is a list that YAML read as one entry")
    assert problem.cure == "align the dashes, one entry a line: `- a.com`, `- b.com`, `- c.com`"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("allow: a.com", "not a list"),
        ("allow: {a.com: 443}", "not a list"),
        ("allow: [null]", "empty"),
        ("allow: [443]", "not a plain IPv4 address"),
        ("allow: [10.0]", "read this as `10.0.0.0`"),
        ("allow:\n  - a.com: 443", "`a.com:443`"),
        ("allow: [[a]]", "a list, not text"),
        ("allow: [a.com/x]", "write only `a.com`"),
        ("allow: [a]\nproxy_port: 0", "out of its range"),
    ],
)
def test_problems_show_their_place(text: str, words: str) -> None:
    report, _, _ = read(text)
    assert len(report.problems) == 1
    assert words in report.problems[0].render("f")
    assert report.problems[0].key.startswith("egress.")
