"""The closure: complete, no larger than needed, the same whatever the order, and clear when there is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.debian import closure
from enclaver.core.debian.index import PackageIndex, build
from enclaver.core.errors import EnclaverError
from tests.fake_debian import package, stanza


def index(*stanzas: str) -> PackageIndex:
    return build("amd64", [("debian", "Packages", "\n".join(stanzas))])


def pkg(name: str, version: str = "1.0", **fields: Any) -> str:
    return stanza(package(name, f"{name}{version}".encode(), version), **fields)


def names(found: PackageIndex, *requested: str) -> list[str]:
    return [item.name for item in closure.resolve(found, requested)]


def test_everything_that_is_depended_on_and_nothing_else() -> None:
    found = index(
        pkg("app", Depends="lib (>= 1.0)", Recommends="extra", Suggests="more"),
        pkg("lib", Pre_Depends="base"),
        pkg("base", Depends="lib"),
        pkg("extra"),
        pkg("essential", Essential="yes"),
    )
    assert names(found, "app") == ["app", "base", "lib"]
    assert names(found, "extra", "extra") == ["extra"]
    assert names(found) == []


def test_the_first_alternative_that_can_be_satisfied_is_taken() -> None:
    found = index(pkg("app", Depends="gone | old (>= 2) | good | other"), pkg("old"), pkg("good"), pkg("other"))
    assert names(found, "app") == ["app", "good"]


def test_an_alternative_that_is_chosen_already_is_preferred() -> None:
    found = index(
        pkg("app", Depends="first | second"),
        pkg("zoo", Depends="second"),
        pkg("first"),
        pkg("second"),
    )
    assert names(found, "app") == ["app", "first"]
    assert names(found, "app", "zoo") == ["app", "second", "zoo"]
    assert names(found, "app", "second") == ["app", "second"]


def test_virtual_packages() -> None:
    found = index(
        pkg("app", Depends="awk"),
        pkg("gawk", Provides="awk"),
        pkg("mawk", Provides="awk"),
        pkg("strict", Depends="awk (>= 2)"),
        pkg("exact", Depends="abi (= 5)"),
        pkg("abi4", Provides="abi (= 4)"),
        pkg("abi5", Provides="abi (= 5)"),
    )
    assert names(found, "app") == ["app", "gawk"]
    assert names(found, "app", "mawk") == ["app", "mawk"]
    assert names(found, "exact") == ["abi5", "exact"]
    with pytest.raises(EnclaverError, match=r"nothing satisfies the dependency awk \(>= 2\) of strict"):
        names(found, "strict")
    with pytest.raises(EnclaverError, match="awk is a virtual package\n  Ask for one that provides it: gawk, mawk"):
        names(found, "awk")


def test_the_package_of_the_name_is_preferred_to_its_providers() -> None:
    found = index(pkg("app", Depends="ssl"), pkg("a-ssl", Provides="ssl"), pkg("ssl"))
    assert names(found, "app") == ["app", "ssl"]


def test_architecture_qualifiers() -> None:
    found = index(pkg("app", Depends="py:any, tool:i386 | other"), pkg("py"), pkg("tool"), pkg("other"))
    assert names(found, "app") == ["app", "other", "py"]


def test_what_only_scripts_need_is_left_out_unless_asked_for() -> None:
    found = index(
        pkg("app", Depends="debconf (>= 0.5) | debconf-2.0, dpkg (>= 1.15.4), lib"),
        pkg("lib"),
        pkg("debconf", Depends="perl-base"),
        pkg("perl-base"),
        pkg("ca-certificates", Depends="openssl (>= 1.1.1), debconf"),
        pkg("server", Depends="openssl"),
        pkg("openssl"),
    )
    assert names(found, "app") == ["app", "lib"]
    assert names(found, "app", "debconf") == ["app", "debconf", "lib", "perl-base"]
    assert names(found, "ca-certificates") == ["ca-certificates"]
    assert names(found, "ca-certificates", "server") == ["ca-certificates", "openssl", "server"]


def test_a_version_can_be_asked_for() -> None:
    found = index(pkg("xx", "1.0"), pkg("xx", "2.0"), pkg("app", Depends="xx"))
    assert [p.label for p in closure.resolve(found, ["xx"])] == ["xx=2.0"]
    assert [p.label for p in closure.resolve(found, ["app", "xx=1.0"])] == ["app=1.0", "xx=1.0"]
    with pytest.raises(
        EnclaverError, match=r"the package xx has no version 3\.0\n  The versions there are: 1\.0, 2\.0"
    ):
        closure.resolve(found, ["xx=3.0"])
    with pytest.raises(EnclaverError, match=r"xx is asked for in two versions, 1\.0 and 2\.0"):
        closure.resolve(found, ["xx=1.0", "xx=2.0"])


def test_an_unknown_package_comes_with_the_nearest_names() -> None:
    found = index(pkg("python3.11"), pkg("libpython3.11"))
    with pytest.raises(EnclaverError, match=r"there is no package pyton3\.11 for amd64\n.*python3\.11, libpython3\.11"):
        names(found, "pyton3.11")
    with pytest.raises(EnclaverError, match="Check its name, suite and component"):
        names(found, "zzz")


def test_a_dependency_that_nothing_satisfies_comes_with_its_chain() -> None:
    found = index(pkg("app", Depends="lib"), pkg("lib", Depends="base (>= 3) | gone"), pkg("base", "2.0"))
    with pytest.raises(EnclaverError) as error:
        names(found, "app")
    assert str(error.value).startswith(
        "app=1.0 -> lib=1.0: nothing satisfies the dependency base (>= 3) | gone of lib: there is only base=2.0"
    )
    with pytest.raises(EnclaverError, match="of app: no index has such a package"):
        names(index(pkg("app", Depends="gone")), "app")


def test_chosen_packages_that_conflict_are_an_error() -> None:
    found = index(
        pkg("app", Depends="lib"),
        pkg("lib", "1.0", Breaks="tool (<< 2)"),
        pkg("tool", "1.0"),
        pkg("mta", Provides="mail", Conflicts="mail"),
        pkg("other", Provides="mail", Conflicts="mail"),
    )
    with pytest.raises(EnclaverError) as error:
        names(found, "app", "tool")
    assert "lib=1.0 conflicts with tool (<< 2), which is tool=1.0" in str(error.value)
    assert str(error.value).startswith("app=1.0 -> lib=1.0; tool=1.0: ")
    assert names(found, "mta") == ["mta"]
    with pytest.raises(EnclaverError, match=r"mta=1\.0 conflicts with mail, which is other=1\.0"):
        names(found, "mta", "other")


graph = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), max_size=3)
)


@given(
    graph, st.permutations("abcdefgh"), st.permutations("abcdefgh"), st.sets(st.sampled_from("abcdefgh"), max_size=3)
)
def test_the_result_is_closed_and_independent_of_any_order(
    dependencies: dict[str, list[list[str]]], order: list[str], other: list[str], requested: set[str]
) -> None:
    def made(letters: list[str]) -> PackageIndex:
        return index(
            *(
                pkg(f"p{x}", Depends=", ".join(" | ".join(f"p{y}" for y in group) for group in dependencies.get(x, [])))
                for x in letters
            )
        )

    asked = [f"p{x}" for x in sorted(requested)]
    found = names(made(order), *asked)
    assert found == names(made(other), *reversed(asked))
    assert set(asked) <= set(found)
    for name in found:
        for group in dependencies.get(name[1], []):
            assert any(f"p{y}" in found for y in group)
