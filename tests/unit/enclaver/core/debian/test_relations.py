"""Dependencies: fields are read whole or refused, and versions are ordered as dpkg orders them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.debian import relations
from enclaver.core.debian.relations import Relation
from enclaver.core.errors import EnclaverError


def parse(field: str) -> list[list[Relation]]:
    return relations.parse(field, file="Packages", place="Package x, Depends")


names = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,10}", fullmatch=True)
bounds = st.tuples(
    st.sampled_from(["<<", "<=", "=", ">=", ">>"]), st.from_regex(r"([0-9]:)?[0-9][a-zA-Z0-9.+~-]{0,8}", fullmatch=True)
)
relation = st.builds(
    lambda name, qualifier, bound: Relation(name, qualifier, *(bound or (None, None))),
    names,
    st.sampled_from([None, "any", "amd64"]),
    st.none() | bounds,
)


@pytest.mark.slow
@given(st.lists(st.lists(relation, min_size=1, max_size=3), max_size=4))
def test_what_is_rendered_is_read_back(groups: list[list[Relation]]) -> None:
    assert parse(relations.render(groups)) == groups


def test_the_forms_that_the_archive_uses() -> None:
    assert parse("") == []
    assert parse("libc6 (>= 2.36), default-mta | mail-transport-agent,") == [
        [Relation("libc6", None, ">=", "2.36")],
        [Relation("default-mta"), Relation("mail-transport-agent")],
    ]
    assert parse("python3:any (>=3.11~)") == [[Relation("python3", "any", ">=", "3.11~")]]


@pytest.mark.parametrize(
    "field", ["a b", "a (1.0)", "a (> 1)", "a,,b", "a |", "(>= 1)", "a (>= 1) extra", "ä", "a [amd64]"]
)
def test_what_cannot_be_read_is_refused(field: str) -> None:
    with pytest.raises(EnclaverError, match=r"Packages: Package x, Depends: the dependency '.*' cannot be read"):
        parse(field)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(field: str) -> None:
    try:
        groups = parse(field)
    except EnclaverError:
        return
    assert parse(relations.render(groups)) == groups


@pytest.mark.parametrize(
    ("bound", "version", "accepted"),
    [
        (">= 1.0", "1.0", True),
        (">= 1.0", "1.0~rc1", False),
        (">> 1.0", "1.0", False),
        (">> 1.0", "1.0+b1", True),
        ("<< 2", "1:0.1", False),
        ("= 1.0", "1.0-0", True),
        ("<= 1.0-1", "1.0", True),
    ],
)
def test_bounds(bound: str, version: str, accepted: bool) -> None:
    [[found]] = parse(f"x ({bound})")
    assert found.accepts(version) is accepted
    assert found.accepts(None) is False


def test_without_a_bound_any_version_will_do() -> None:
    assert Relation("x").accepts(None)
    assert Relation("x").accepts("0")


def test_a_foreign_architecture_cannot_be_satisfied() -> None:
    assert Relation("x").fits_architecture("amd64")
    assert Relation("x", "any").fits_architecture("amd64")
    assert Relation("x", "amd64").fits_architecture("amd64")
    assert not Relation("x", "i386").fits_architecture("amd64")


@pytest.mark.parametrize(
    ("older", "later"),
    [
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0+deb12u1"),
        ("3.11.2-6+deb12u2", "3.11.2-6+deb12u10"),
        ("9", "1:0"),
        ("1.0-1", "1.0-1.1"),
    ],
)
def test_newer(older: str, later: str) -> None:
    assert relations.newer(later, older)
    assert not relations.newer(older, later)
    assert not relations.newer(older, older)
