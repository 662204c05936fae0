from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from enclaver_runtime.parent.scratch import scratch_folder

LONG_AGO = 1_000_000_000


def test_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), scratch_folder(tmp_path):
        raise ValueError("inside")
    assert list(tmp_path.iterdir()) == []


def test_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    left = tmp_path / "enclaver-run-dead"
    left.mkdir()
    (left / "vm.vsock").touch()
    os.utime(left, (LONG_AGO, LONG_AGO))
    with scratch_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_leaves_living_young_and_foreign_folders_alone(tmp_path: Path) -> None:
    young = tmp_path / "enclaver-run-young"
    young.mkdir()
    foreign = tmp_path / "something-else"
    foreign.mkdir()
    link = tmp_path / "enclaver-run-link"
    link.symlink_to(foreign)
    os.utime(link, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    with scratch_folder(tmp_path) as living:
        os.utime(living, (LONG_AGO, LONG_AGO))
        with scratch_folder(tmp_path):
            assert {young, foreign, link, living} < set(tmp_path.iterdir())


def test_uses_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path
