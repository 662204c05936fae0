from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.enclave.reaper import Reaper
from tests.unit.enclaver_runtime.isolation import in_child


def fork(act: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        # The signal handlers of the test's trio are not the child's.
        signal.set_wakeup_fd(-1)
        act()
        os._exit(0)
    return pid


def reaping(scenario: Callable[[Reaper], Awaitable[int]]) -> int:
    async def main() -> int:
        reaper = Reaper()
        async with trio.open_nursery() as nursery:
            await nursery.start(reaper.run)
            with trio.fail_after(10):
                result = await scenario(reaper)
            nursery.cancel_scope.cancel()
        return result

    return in_child(lambda: trio.run(main))


def children() -> int:
    """How many children there are, ended or not: 1 stands for any."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 1


async def until_childless() -> int:
    while children():
        await trio.sleep(0.005)
    return 0


def test_a_childs_exit_code() -> None:
    async def scenario(reaper: Reaper) -> int:
        child = reaper.expect(fork(lambda: os._exit(7)))
        status = await child.wait()
        assert child.ended
        # A second wait, and a signal to a child that is gone, do nothing.
        assert await child.wait() == status
        child.kill(signal.SIGKILL)
        return os.WEXITSTATUS(status)

    assert reaping(scenario) == 7


def test_a_child_ended_by_a_signal() -> None:
    async def scenario(reaper: Reaper) -> int:
        child = reaper.expect(fork(signal.pause))
        child.kill(signal.SIGKILL)
        return os.WTERMSIG(await child.wait())

    assert reaping(scenario) == signal.SIGKILL


def test_many_children_that_end_at_once() -> None:
    async def scenario(reaper: Reaper) -> int:
        expected = [reaper.expect(fork(lambda: None)) for _ in range(20)]
        for child in expected:
            await child.wait()
        return children()

    assert reaping(scenario) == 0


def test_children_that_nobody_expects_are_reaped() -> None:
    async def scenario(reaper: Reaper) -> int:
        fork(lambda: None)
        return await until_childless()

    assert reaping(scenario) == 0


def test_orphans_of_a_double_fork_are_reaped() -> None:
    async def scenario(reaper: Reaper) -> int:
        reaper.expect(fork(lambda: fork(lambda: None)))
        return await until_childless()

    assert reaping(scenario) == 0


def test_children_that_ended_before_the_start_are_reaped() -> None:
    async def main() -> int:
        os.waitid(os.P_PID, fork(lambda: None), os.WEXITED | os.WNOWAIT)
        async with trio.open_nursery() as nursery:
            await nursery.start(Reaper().run)
            with trio.fail_after(10):
                left = await until_childless()
            nursery.cancel_scope.cancel()
        return left

    assert in_child(lambda: trio.run(main)) == 0
