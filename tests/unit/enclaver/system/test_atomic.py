from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import atomic
from enclaver.system.atomic import atomic_folder, atomic_output, atomic_outputs, check_output


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


umasks = pytest.mark.parametrize("mask", [0o022, 0o077, 0o000], ids=oct)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@umasks
def test_an_output_appears_at_the_end_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "x.eif"
    with umask(mask), atomic_output(path) as out:
        out.write(b"hello")
        assert not path.exists()
        out.seek(0)
        assert out.read() == b"hello"
    assert path.read_bytes() == b"hello"
    assert mode(path) == 0o644
    assert names(tmp_path) == ["x.eif"]


def test_an_old_output_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="stop"), atomic_output(path) as out:
        raise_after(lambda: out.write(b"new"))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]
    with atomic_output(path) as out:
        out.write(b"new")
    assert path.read_bytes() == b"new"


def raise_after(action: Callable[[], object]) -> None:
    action()
    raise ValueError("stop")


def test_several_appear_together_or_not_at_all(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    with pytest.raises(ValueError, match="stop"), atomic_outputs(paths) as outs:
        raise_after(lambda: [out.write(b"x") for out in outs])
    assert names(tmp_path) == []
    with atomic_outputs(paths) as outs:
        for out in outs:
            out.write(b"x")
    assert names(tmp_path) == ["a", "b", "c"]


def test_a_rename_that_fails_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    replace = os.replace

    def failing(source: Path, target: Path) -> None:
        if target.name == "b":
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(EnclaverError, match="b: cannot write: Input/output error"), atomic_outputs(paths):
        pass
    assert names(tmp_path) == []


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(EnclaverError, match=r"x: cannot write: No space left.*\n  Make room"),
        atomic_output(tmp_path / "x"),
    ):
        full()
    assert names(tmp_path) == []


def test_a_full_disk_that_shows_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnclaverError, match="Disk quota exceeded"), atomic_output(tmp_path / "x") as out:
        out.write(b"x")
    assert names(tmp_path) == []


def test_other_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_output(tmp_path / "x"):
        (tmp_path / "none").read_bytes()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for path, message in (
        (tmp_path / "none" / "x", "cannot write: No such file.*\n.*folder exists"),
        (tmp_path / "file" / "x", "cannot write: Not a directory"),
        (tmp_path / "folder", "no regular file"),
        (Path("/dev/null"), "no regular file"),
    ):
        with pytest.raises(EnclaverError, match=message), atomic_output(path):
            pass
        with pytest.raises(EnclaverError, match=message):
            check_output(path)
    assert names(tmp_path) == ["file", "folder"]


def test_a_place_that_can_be_written_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        check_output(tmp_path / name)
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_long_name_works(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    with atomic_output(path) as out:
        out.write(b"x")
    assert path.read_bytes() == b"x"


KILLED = """
import os, signal, sys
from pathlib import Path
from enclaver.system.atomic import atomic_output, atomic_folder
with atomic_output(Path(sys.argv[1])) as out, atomic_folder(Path(sys.argv[2])) as folder:
    out.write(b"half")
    out.flush()
    (folder / "half").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_what_a_kill_leaves_the_next_run_removes(tmp_path: Path) -> None:
    output, folder = tmp_path / "x.eif", tmp_path / "out"
    neighbour = tmp_path / ".x.eif.neighbor.enclaver-part"
    root = Path(atomic.__file__).parent.parent.parent
    run = [sys.executable, "-c", KILLED, str(output), str(folder)]
    killed = subprocess.run(run, env={"PYTHONPATH": str(root)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = names(tmp_path)
    assert len(left) == 2
    assert all(name.startswith((".x.eif.", ".out.")) and name.endswith(".enclaver-part") for name in left)
    with neighbour.open("wb") as held:  # One that another run is at work on stays.
        fcntl.flock(held, fcntl.LOCK_EX)
        with atomic_output(output), atomic_folder(folder):
            pass
        assert names(tmp_path) == [neighbour.name, "out", "x.eif"]


def test_names_of_other_outputs_are_left_alone(tmp_path: Path) -> None:
    others = [".x.part", ".x.enclaver-part", ".x.eif.abc.enclaver-part", ".y.abc.enclaver-part", "x.abc.enclaver-part"]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    with atomic_output(tmp_path / "x"):
        pass
    assert names(tmp_path) == sorted([*others, "x"])


@umasks
def test_a_folder_appears_at_the_end_with_normal_modes(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "out"
    with umask(mask), atomic_folder(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "run").touch(mode=0o700)
        (folder / "plain").write_bytes(b"x")
        (folder / "link").symlink_to("nowhere")
        assert not path.exists()
    assert names(tmp_path) == ["out"]
    assert [mode(path), mode(path / "inner")] == [0o755, 0o755]
    assert [mode(path / "inner" / "run"), mode(path / "plain")] == [0o755, 0o644]


def test_a_folder_may_be_there_when_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with atomic_folder(tmp_path / "link") as folder:
        (folder / "a").write_bytes(b"")
    assert names(tmp_path / "out") == ["a"]
    for path in (tmp_path / "out", tmp_path / "out" / "a", tmp_path / "link"):
        with pytest.raises(EnclaverError, match="is there already"), atomic_folder(path):
            pass


def test_a_folder_that_fails_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "out") as folder:
        raise_after((folder / "a").touch)
    with pytest.raises(EnclaverError, match="cannot write"), atomic_folder(tmp_path / "none" / "out"):
        pass
    assert names(tmp_path) == []
