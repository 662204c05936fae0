from __future__ import annotations

from enclaver.core.manifest.egress import parse_entry
from enclaver.core.manifest.model import Egress
from enclaver.core.manifest.parse import parse

PLAIN = b"version: v1\nname: n\nsources: {app: ':a'}\napi: {listen_port: 1}\n"


def test_egress_is_enabled_by_an_allow_entry() -> None:
    assert not Egress().enabled
    assert not Egress(deny=(parse_entry("a"),)).enabled
    assert Egress(allow=(parse_entry("a"),)).enabled


def test_manifests_are_equal_when_they_say_the_same() -> None:
    other = parse(b"# a comment\ntarget:\n" + PLAIN, "g")
    assert parse(PLAIN, "f") == other
    assert parse(PLAIN.replace(b"1}", b"2}"), "f") != other


def test_the_origin_shows_a_key_at_its_place() -> None:
    origin = parse(PLAIN, "f").origin
    problem = origin.problem("api.listen_port", "m", "c")
    assert (problem.place.line, problem.place.column, problem.place.width) == (4, 7, 11)
    assert problem.key == "api.listen_port"
    assert origin.problem("egress", "m").place.line == 1
