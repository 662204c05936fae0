from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.build import app_spec
from enclaver.core.errors import EnclaverError
from tests.unit.enclaver.build import apps


def test_a_description_is_read_whole(tmp_path: Path) -> None:
    read = app_spec.load(
        apps.description(tmp_path / "app.json", [apps.item("a", "file", "b")], args=["1"], env={"A": "b"})
    )
    assert read.items == (app_spec.AppItem("a", "b", "file", "//:a"),)
    assert (read.architecture, read.entrypoint, read.args, read.env) == ("x86_64", (), ("1",), {"A": "b"})


def test_another_version_and_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"app\.json: app description of version 3, not 1\n  Use the backend"):
        app_spec.load(apps.description(tmp_path / "app.json", [], version=3))
    with pytest.raises(EnclaverError, match="unknown kind"):
        app_spec.load(apps.description(tmp_path / "app.json", [apps.item("a", "image")]))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"extra": 1}, "the app"),
        ({"architecture": None}, "architecture"),
        ({"items": {}}, "items"),
        ({"items": [[]]}, r"items\[0\]"),
        ({"items": [{**apps.item("a"), "as": 1}]}, r"items\[0\].as"),
        ({"items": [{**apps.item("a"), "more": 1}]}, r"items\[0\]"),
        ({"entrypoint": "/app/x"}, "entrypoint"),
        ({"args": [1]}, "args"),
        ({"env": ["A=b"]}, "env"),
        ({"env": {"A": 1}}, "env.A"),
        ({"drop_xattrs": 1}, "drop_xattrs"),
    ],
)
def test_whatever_is_not_described_as_it_must_be_is_named(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    with pytest.raises(EnclaverError, match=rf"app\.json: {place}: is not described as it must be"):
        app_spec.load(apps.description(tmp_path / "app.json", **{"items": [], **changes}))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "", "a//b", "a\0b"])
def test_paths_stay_in_the_folder_and_in_the_image(tmp_path: Path, path: str) -> None:
    for item in (apps.item("a", "file", "x") | {"path": path}, apps.item("a", "file", "x") | {"as": path}):
        with pytest.raises(EnclaverError, match=r"app\.json: .*must be relative"):
            app_spec.load(apps.description(tmp_path / "app.json", [item]))


@pytest.mark.slow
@given(
    st.binary(max_size=20)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps(value).encode())
    | st.just(b"[" * 100000)
)
def test_no_bytes_are_a_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("spec") / "app.json"
    path.write_bytes(data)
    with pytest.raises(EnclaverError, match=r"app\.json: "):
        app_spec.load(path)
