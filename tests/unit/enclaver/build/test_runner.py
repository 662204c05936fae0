from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from enclaver.build import runner as runners
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Kind, Tree
from tests.unit.enclaver.build import apps
from tests.unit.enclaver.build.runners import debian, runner

LIBRARY = "usr/lib/python3/dist-packages"


def command(folder: Path) -> Tree:
    with Spool(folder / "spool") as spool:
        return runners.command(runner(folder / "x"), spool)


def text(tree: Tree, path: str) -> str:
    entry = tree.get(path)
    assert entry is not None
    return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks()).decode()


def test_the_base_is_debians_with_what_containers_expect(tmp_path: Path) -> None:
    tree = runners.base(runner(tmp_path), "x86_64")
    tree.check()
    modes = {entry.path: entry.mode for entry in tree}
    assert (modes["tmp"], modes["root"], modes["proc"], modes["var"]) == (0o1777, 0o700, 0o555, 0o711)
    assert text(tree, "etc/passwd").startswith("root:x:0:0:")
    assert "usr/share/doc/dash/copyright" in tree
    assert "usr/lib/python3.11/turtle.py" not in tree
    assert all(entry.kind is not Kind.CHARACTER_DEVICE for entry in tree)


@pytest.mark.parametrize(
    ("machine", "what"), [(apps.AARCH64, "is for aarch64, and the enclave for x86_64"), (62, None)], ids=["arm", "x86"]
)
def test_a_base_for_another_machine(tmp_path: Path, machine: int, what: str | None) -> None:
    made = runner(tmp_path, debian(tmp_path, machine))
    if what is None:
        assert len(runners.base(made, "x86_64"))
        return
    with pytest.raises(EnclaverError, match=what):
        runners.base(made, "x86_64")


def test_a_base_without_python(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="the Debian tree has no /usr/bin/python3"):
        runners.base(runner(tmp_path, apps.base(tmp_path, python=False)), "x86_64")


def test_the_command_has_what_running_takes_and_no_more(tmp_path: Path) -> None:
    tree = command(tmp_path)
    files = {entry.path.removeprefix(f"{LIBRARY}/") for entry in tree if entry.kind is Kind.FILE}
    assert {"enclaver/cli/run.py", "enclaver_runtime/parent/nitro.py", "thing/__init__.py", "usr/bin/enclaver"} <= files
    unwanted = ("botocore/", "enclaver/goals/", "enclaver/util_rules/", "enclaver/core/debian/", "enclaver/cli/stages/")
    assert not [path for path in files if path.startswith((*unwanted, "enclaver_runtime/enclave/"))]
    modes = {entry.path: entry.mode for entry in tree if entry.kind is Kind.FILE}
    assert modes.pop("usr/bin/enclaver") == 0o755
    assert set(modes.values()) == {0o644}
    assert text(tree, "usr/bin/enclaver").startswith("#!/usr/bin/python3 -IB\n")


@pytest.mark.slow
def test_it_starts_with_these_sources_alone(tmp_path: Path) -> None:
    """The wheels are those of this Python; the modules are the image's."""
    for entry in command(tmp_path):
        if entry.kind is Kind.FILE and entry.path.startswith(LIBRARY):
            path = tmp_path / "root" / entry.path.removeprefix(f"{LIBRARY}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(map(bytes, entry.content.chunks() if entry.content else ())))
    third_party = [path for path in sys.path if not any(Path(path, name).exists() for name in ("enclaver", "tests"))]
    done = subprocess.run(
        [sys.executable, "-c", "from enclaver.cli.contained import start; start()", "run", "--help"],
        cwd=tmp_path / "root",
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path / "root"), *third_party])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: enclaver run")


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    made = replace(runner(tmp_path), sources=[tmp_path / "wheels"])
    with (
        Spool(tmp_path / "spool") as spool,
        pytest.raises(EnclaverError, match=r"enclaver\.cli\.contained is not among"),
    ):
        runners.command(made, spool)
