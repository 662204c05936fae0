from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.python.closure import closure
from enclaver.core.rootfs import directory
from enclaver.core.rootfs.tree import Tree

ROOT = Path(__file__).parents[5]
FILES = {
    "a/__init__.py": "",
    "a/b/__init__.py": "from a import d\n",
    "a/b/c.py": "import os\nimport e.f\ndef g():\n    from a import h, name\n",
    "a/d.py": "",
    "a/h.py": "from .d import x\n",
    "a/unused.py": "",
    "e/f.py": "import a.b.c\n",
    "e/unused.py": "",
}


def sources(files: dict[str, str]) -> Tree:
    tree = Tree()
    for path, text in files.items():
        tree.add_file(path, text.encode())
    return tree


def test_what_a_module_needs_and_nothing_else() -> None:
    found = [entry.path for entry in closure(sources(FILES), "a.b.c")]
    assert found == ["a/__init__.py", "a/b/__init__.py", "a/b/c.py", "a/d.py", "a/h.py", "e/f.py"]


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(EnclaverError, match="the module a.x is not among the sources"):
        closure(sources(FILES), "a.x")


@pytest.mark.parametrize("text", ["def", "x = '\0'", "(" * 500])
def test_what_is_no_python(text: str) -> None:
    with pytest.raises(EnclaverError, match=r"a/x\.py: is no Python"):
        closure(sources({"a/x.py": text}), "a.x")


def test_it_finds_what_the_plugin_gives_a_stage() -> None:
    """Two scanners, by syntax and by text, since Pants' own Python can't parse these sources."""
    path = ROOT / "pants-plugins" / "enclaver" / "util_rules" / "sources.py"
    spec = importlib.util.spec_from_file_location("scanner_by_text", path)
    assert spec is not None
    assert spec.loader is not None
    scanner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scanner)
    tree = Tree()
    tree.graft(directory.read(ROOT / "pants-plugins" / "enclaver", origin="x"), "enclaver")
    for module in ("enclaver.cli.contained", "enclaver.cli.stages.target_image", "enclaver.cli.stages.kernel"):
        found = {entry.path: entry for entry in closure(tree, module)}
        expected = scanner.closure(module, "enclaver")
        assert sorted(found) == sorted(expected)
