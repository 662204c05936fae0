from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trio.testing import trio_test

from enclaver_runtime.parent.processes import Child, start

# Every one of these starts a Python or two.
pytestmark = pytest.mark.slow


async def _finish(child: Child) -> tuple[str, bytes]:
    output = bytearray()
    async with child.output:
        async for data in child.output:
            output.extend(data)
    how = await child.wait()
    child.end()
    return how, bytes(output)


@trio_test
async def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    child = start(["/bin/sh", "-c", "pwd; echo oops >&2; cat; exit 7"], cwd=tmp_path)
    assert await _finish(child) == ("exit code 7", f"{tmp_path}\noops\n".encode())


@trio_test
async def test_a_signal_is_told_and_is_not_ignored(tmp_path: Path) -> None:
    # Python ignores SIGPIPE; its children must not.
    child = start(["/bin/sh", "-c", "kill -PIPE $$"], cwd=tmp_path)
    assert (await _finish(child))[0] == f"signal {int(signal.SIGPIPE)}"


@trio_test
async def test_a_missing_program_says_so(tmp_path: Path) -> None:
    child = start([tmp_path / "nothing"], cwd=tmp_path)
    how, output = await _finish(child)
    assert how == "exit code 1"
    assert output == f"{tmp_path}/nothing: No such file or directory\n".encode()


@trio_test
async def test_end_kills_and_reaps(tmp_path: Path) -> None:
    child = start(["/bin/sleep", "1000"], cwd=tmp_path)
    child.end()
    assert await _finish(child) == (f"signal {int(signal.SIGKILL)}", b"")
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


_RUNNER = """\
import sys, trio
from pathlib import Path
from enclaver_runtime.parent.processes import start

async def main():
    child = start(["/bin/sleep", "1000"], cwd=Path("/"))
    print(child.pid, flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


def test_children_die_with_a_killed_runner() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", _RUNNER], stdout=subprocess.PIPE, env=environment) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        assert _is_alive(pid)
        runner.kill()
    deadline = time.monotonic() + 5
    while _is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A container's first process may be slow to reap what it inherits.
    return state != "Z"
