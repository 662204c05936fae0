from __future__ import annotations

import json

import pytest
from pants.core.target_types import FileTarget
from pants.engine.addresses import Address

from enclaver.util_rules import app


@pytest.mark.parametrize(
    ("folder", "path", "below"),
    [
        ("", "run.py", "run.py"),
        ("", "bin/run.py", "bin/run.py"),
        ("apps/web", "apps/web/run.py", "run.py"),
        ("apps/web", "apps/web/bin/run.py", "bin/run.py"),
        ("apps/web", "apps/website/run.py", "apps/website/run.py"),
        ("apps/web", "moved/run.py", "moved/run.py"),
    ],
)
def test_a_file_lies_as_it_lies_below_its_target(folder: str, path: str, below: str) -> None:
    target = FileTarget({"source": "x"}, Address(folder, target_name="app"))
    assert app._below(path, target) == below


def test_a_description_is_the_same_for_the_same_app() -> None:
    target = FileTarget({"source": "x"}, Address("apps", target_name="app"))
    items = [app._item(path, path, "file", target) for path in ("b", "a")]
    options = app.AppOptions("x86_64", ("/app/a",), ("-v",), {"B": "1", "A": "2"}, False)
    spec = app._spec(items, options)
    same = app.AppOptions("x86_64", ("/app/a",), ("-v",), {"A": "2", "B": "1"}, False)
    assert spec == app._spec(reversed(items), same)
    assert json.loads(spec) == {
        "version": 1,
        "architecture": "x86_64",
        "items": [{"path": path, "as": path, "kind": "file", "target": "apps:app"} for path in ("a", "b")],
        "entrypoint": ["/app/a"],
        "args": ["-v"],
        "env": {"A": "2", "B": "1"},
        "drop_xattrs": False,
    }
