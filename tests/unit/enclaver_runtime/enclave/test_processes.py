from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import trio

from enclaver_runtime.enclave import processes
from enclaver_runtime.enclave.reaper import Reaper
from tests.unit.enclaver_runtime.isolation import in_child


def sleeper(*, deaf: bool = False, name: str = "sleeper") -> int:
    """A child that waits for a signal; a deaf one ignores SIGTERM."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else signal.SIG_DFL)
        Path("/proc/self/comm").write_text(name)
        os.write(write, b"x")
        while True:
            signal.pause()
    os.read(read, 1)
    return pid


def test_children_and_theirs_are_found_but_not_what_has_ended() -> None:
    def scenario() -> tuple[int, int]:
        pids = {sleeper()}
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.write(write, str(sleeper()).encode())
            signal.pause()
        pids |= {child, int(os.read(read, 20))}
        zombie = os.fork()
        if zombie == 0:
            os._exit(0)
        os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
        assert processes.descendants() == pids
        return len(processes.descendants(child)), len(processes.descendants(zombie))

    assert in_child(scenario) == (1, 0)


def test_a_name_with_parentheses_misleads_nobody() -> None:
    def scenario() -> bool:
        pid = sleeper(name="a) Z 1 (b")
        return processes.descendants() == {pid}

    assert in_child(scenario)


def end(*, deaf: bool, grace: float) -> tuple[float, set[int]]:
    async def main() -> tuple[float, set[int]]:
        async with trio.open_nursery() as nursery:
            await nursery.start(Reaper().run)
            for _ in range(3):
                sleeper(deaf=deaf)
            start = time.monotonic()
            await processes.end_all(grace)
            nursery.cancel_scope.cancel()
        return time.monotonic() - start, processes.descendants()

    return in_child(lambda: trio.run(main))


def test_processes_that_heed_sigterm_end_at_once() -> None:
    seconds, left = end(deaf=False, grace=10)
    assert seconds < 5
    assert left == set()


@pytest.mark.slow
def test_deaf_processes_are_killed_after_the_grace() -> None:
    seconds, left = end(deaf=True, grace=0.3)
    assert 0.3 <= seconds < 5
    assert left == set()


def test_nobody_to_end() -> None:
    assert in_child(lambda: trio.run(processes.end_all, 10.0)) is None
