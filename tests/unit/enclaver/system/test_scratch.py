"""The working folder is gone afterwards, however the process that used it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system.scratch import scratch_folder

SOURCES = Path(__file__).parents[4] / "pants-plugins"


def test_the_folder_is_there_closed_to_others_and_gone_after(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, prefix=".work-") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".work-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_is_passed_on_and_the_folder_goes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), scratch_folder(tmp_path, prefix="w"):
        raise ValueError("inside")
    assert list(tmp_path.iterdir()) == []


def test_names_that_a_shell_would_read_otherwise_are_safe(tmp_path: Path) -> None:
    parent = tmp_path / "-rf $(touch made) ' \n"
    parent.mkdir()
    with scratch_folder(parent, prefix="-w ") as folder:
        (folder / "*").write_text("x")
    assert list(parent.iterdir()) == []
    assert not (Path.cwd() / "made").exists()


@pytest.mark.slow
def test_folders_that_forbid_their_removal_go_too(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, prefix="w") as folder:
        (folder / "shut").mkdir()
        (folder / "shut" / "file").write_text("x")
        (folder / "shut").chmod(0)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(EnclaverError, match="cannot make a working folder"),
        scratch_folder(tmp_path / "no", prefix="w"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_leaves_nothing(tmp_path: Path, number: int) -> None:
    text = (
        f"import sys; sys.path.insert(0, {str(SOURCES)!r})\n"
        "from pathlib import Path; import time\n"
        "from enclaver.system.scratch import scratch_folder\n"
        f"with scratch_folder(Path({str(tmp_path)!r}), prefix='w') as folder:\n"
        "    (folder / 'file').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert len(list(tmp_path.iterdir())) == 1
        # The whole group, as a terminal or a build tool does it.
        os.killpg(process.pid, number)
    deadline = time.monotonic() + 10
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []
