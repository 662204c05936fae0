from __future__ import annotations

import sys
from pathlib import Path

import pytest

from enclaver.util_rules import sources

ROOT = Path(__file__).parents[4]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A namespace package of Python 3.11 code, which Pants' own Python could not parse."""
    for path, text in {
        "pkg311/a/__init__.py": "",
        "pkg311/a/one.py": "from pkg311.b import (  # What follows spans lines.\n    two,\n    helper,\n)\nimport os\n",
        "pkg311/a/unused.py": "",
        "pkg311/b/__init__.py": "def helper(): ...\n",
        "pkg311/b/two.py": "def f(x):\n    match x:\n        case 1:\n            import pkg311.c.three\n",
        "pkg311/c/three.py": "from pkg311.a import one as this\nfrom other import pkg311\n",
        "pkg311/BUILD": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_closure_holds_what_is_imported_and_nothing_else(package: Path) -> None:
    found = sources.closure("pkg311.a.one", "pkg311")
    assert list(found) == [
        "pkg311/a/__init__.py",
        "pkg311/a/one.py",
        "pkg311/b/__init__.py",
        "pkg311/b/two.py",
        "pkg311/c/three.py",
    ]
    assert "pkg311.b" not in sys.modules


def test_a_folder_is_all_of_it(package: Path) -> None:
    assert list(sources.folder("pkg311")) == [
        f"pkg311/{path}.py" for path in ("a/__init__", "a/one", "a/unused", "b/__init__", "b/two", "c/three")
    ]


def test_what_is_not_installed_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="not installed"):
        sources.closure("enclaver.cli.stages.no_such", "enclaver")
    with pytest.raises(ModuleNotFoundError, match="not installed"):
        sources.folder("no_such_package")


@pytest.mark.parametrize(
    ("stage", "without"),
    [("kernel", "enclaver/core/manifest/parse.py"), ("manifest", "enclaver/core/eif/reader.py")],
)
def test_a_stage_does_not_depend_on_what_it_does_not_use(
    stage: str, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "pants-plugins"))
    found = sources.closure(f"enclaver.cli.stages.{stage}", "enclaver")
    assert f"enclaver/cli/stages/{stage}.py" in found
    assert without not in found
