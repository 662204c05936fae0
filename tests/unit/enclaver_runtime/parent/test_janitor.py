from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from enclaver_runtime.parent.janitor import if_killed

pytestmark = pytest.mark.slow


def test_nothing_is_done_after_an_end_of_ones_own(tmp_path: Path) -> None:
    with if_killed("touch", tmp_path / "done"):
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="inside"), if_killed("touch", tmp_path / "done"):
        raise ValueError("inside")
    assert list(tmp_path.iterdir()) == []


def test_a_janitor_that_was_killed_is_no_trouble(tmp_path: Path) -> None:
    with if_killed("touch", tmp_path / "done"):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("group", [False, True])
def test_a_killed_process_has_it_done(tmp_path: Path, group: bool) -> None:
    code = textwrap.dedent(f"""
        import time
        from enclaver_runtime.parent.janitor import if_killed
        with if_killed("touch", {str(tmp_path / "it's done")!r}):
            print("ready", flush=True)
            time.sleep(1000)
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if group:
            # As a service manager does it: everybody is asked first.
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.kill()
    deadline = time.monotonic() + 20
    while not (tmp_path / "it's done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
