"""Packages indexes: newest versions, providers, and refusals of stanzas that no archive would serve."""

from __future__ import annotations

import pytest

from enclaver.core.debian.index import PackageIndex, build
from enclaver.core.debian.relations import Relation
from enclaver.core.errors import EnclaverError
from tests.fake_debian import package, stanza


def index(*stanzas: str) -> PackageIndex:
    return build("amd64", [("debian", "Packages", "\n".join(stanzas))])


def test_a_stanza_becomes_a_candidate() -> None:
    item = package("awk", b"x", "1:2.0-1")
    found = index(
        stanza(
            item,
            Pre_Depends="libc6 (>= 2.36)",
            Depends="a | b, c",
            Conflicts="d",
            Breaks="e (<< 2)",
            Provides="awk-like, awk-abi (= 3)",
            Description="first line\n more lines\n .\n the end",
        )
    ).candidate("awk")
    assert found is not None
    assert found.package == item
    assert [[str(r) for r in group] for group in found.depends] == [["libc6 (>= 2.36)"], ["a", "b"], ["c"]]
    assert [str(r) for r in found.conflicts] == ["d", "e (<< 2)"]
    assert found.satisfies(Relation("awk", None, ">=", "1:2"))
    assert found.satisfies(Relation("awk-like"))
    assert not found.satisfies(Relation("awk-like", None, ">=", "1"))
    assert found.satisfies(Relation("awk-abi", None, "=", "3"))
    assert not found.satisfies(Relation("awk-abi", None, "=", "4"))


def test_the_newest_version_wins_across_archives_and_the_first_of_equals() -> None:
    old, new = package("xx", b"1", "1.0-1"), package("xx", b"2", "1.0-1+deb12u1")
    rebuilt = package("xx", b"3", "1.0-1+deb12u1")
    found = build(
        "amd64",
        [
            ("debian", "main", stanza(old)),
            ("debian-security", "security", stanza(new)),
            ("debian", "updates", stanza(rebuilt)),
        ],
    )
    newest = found.candidate("xx")
    assert newest is not None
    assert (newest.package.sha256, newest.package.archive) == (new.sha256, "debian-security")
    pinned = found.candidate("xx", "1.0-1")
    assert pinned is not None
    assert pinned.package.sha256 == old.sha256
    assert found.candidate("xx", "9") is None
    assert found.candidate("y") is None
    assert found.versions("xx") == ["1.0-1", "1.0-1+deb12u1", "1.0-1+deb12u1"]


def test_providers_and_nearest_names() -> None:
    found = index(
        stanza(package("mawk", b""), Provides="awk"),
        stanza(package("gawk", b""), Provides="awk (= 1), new-awk"),
        stanza(package("python3.11", b"")),
    )
    assert found.providers("awk") == ["gawk", "mawk"]
    assert found.providers("new-awk") == ["gawk"]
    assert found.providers("nothing") == []
    assert found.nearest("pyton3.11") == ["python3.11"]
    assert found.nearest("completely-different") == []


def test_an_empty_index_has_nothing() -> None:
    assert index("").candidate("xx") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>no index</html>", "Packages: <html>no index</html>: a stanza does not begin with Package"),
        ("Package: x\nArchitecture: all\n", "Packages: Package: x: a stanza does not begin with Package or has no"),
    ],
)
def test_what_is_no_index_is_refused(text: str, message: str) -> None:
    with pytest.raises(EnclaverError) as error:
        index(text)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        ("SHA256: ", "MD5sum: ", "Package xx: the stanza has no SHA256"),
        ("Filename: pool/", "Filename: ../", "Package xx.path: '../"),
        ("Filename: pool/", "Filename: /", "Package xx.path: '/"),
        ("Size: 1", "Size: many", "Package xx.size: expected a whole number"),
        ("Architecture: amd64", "Architecture: riscv64", "Package xx.architecture: expected one of all, amd64"),
    ],
)
def test_a_stanza_is_held_to_the_locks_rules(line: str, instead: str, message: str) -> None:
    text = stanza(package("xx", b"1")).replace(line, instead)
    with pytest.raises(EnclaverError) as error:
        index(text).candidate("xx")
    assert message in str(error.value)
