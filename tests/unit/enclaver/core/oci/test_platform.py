from __future__ import annotations

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import platform
from enclaver.core.oci.platform import Platform


@pytest.mark.parametrize(
    ("name", "architecture", "rank"),
    [
        ("linux/amd64", "x86_64", 0),
        ("linux/amd64/v2", "x86_64", 2),
        ("linux/amd64/v4", "x86_64", None),
        ("linux/arm64", "aarch64", 0),
        ("linux/arm64/v8", "aarch64", 1),
        ("linux/arm/v7", "aarch64", None),
        ("linux/amd64", "aarch64", None),
        ("windows/amd64", "x86_64", None),
        ("unknown/unknown", "x86_64", None),
    ],
)
def test_what_runs_where(name: str, architecture: str, rank: int | None) -> None:
    found = Platform(*name.split("/"))
    assert platform.rank(found, architecture) == rank
    assert str(found) == name


def test_a_platform_is_read_and_an_odd_one_refused() -> None:
    assert platform.parse({"os": "linux", "architecture": "amd64", "os.version": "1"}) == Platform("linux", "amd64")
    assert platform.parse({}) == Platform("", "")
    with pytest.raises(EnclaverError, match="`os` is not a text"):
        platform.parse({"os": 1})


def test_the_refusal_names_both_sides() -> None:
    error = platform.refused([Platform("linux", "arm64", "v8"), Platform("windows", "amd64")], "x86_64")
    assert "for linux/arm64/v8, windows/amd64, not for linux/amd64" in str(error)
    assert "for nothing, not" in str(platform.refused([], "x86_64"))
    assert "no named platform" in str(platform.refused([Platform("", "")], "x86_64"))
