from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
import trio

from enclaver_runtime import config
from enclaver_runtime.enclave import app
from enclaver_runtime.enclave.launch import LaunchError
from enclaver_runtime.enclave.processes import descendants
from enclaver_runtime.enclave.reaper import Reaper
from enclaver_runtime.enclave.stop import Stop
from enclaver_runtime.protocol.status import Exited, Signaled
from tests.unit.enclaver_runtime.isolation import in_child, needs_root

pytestmark = needs_root

Result = tuple[Exited | Signaled | str, float, set[int]]


def run(
    script: str,
    *,
    stop_after: float | None = None,
    stop_by: int = signal.SIGTERM,
    stop_signal: int | None = None,
    cancel_after: float | None = None,
    grace: float = 10,
) -> Result:
    """Run a shell script as the app; how it ended, how long it took, and what it left behind."""
    env = {"PATH": "/bin:/usr/bin"}
    plan = config.App(argv=("/bin/sh", "-c", script), env=env, cwd="/", uid=0, gid=0, stop_signal=stop_signal)
    started: list[int] = []

    async def main() -> Exited | Signaled | str:
        reaper, stop = Reaper(), Stop()
        async with trio.open_nursery() as nursery:
            await nursery.start(reaper.run)
            with open(os.devnull, "wb") as output, trio.CancelScope() as scope:

                def on_start(pid: int) -> None:
                    started.append(pid)
                    if cancel_after is not None:
                        scope.deadline = trio.current_time() + cancel_after
                    if stop_after is not None:
                        nursery.start_soon(later, stop_after, lambda: stop.ask(stop_by))

                result: Exited | Signaled | str = "cancelled"
                result = await app.run(
                    plan,
                    root="/",
                    output=output.fileno(),
                    reaper=reaper,
                    stop=stop,
                    grace=grace,
                    started=on_start,
                )
            nursery.cancel_scope.cancel()
        assert started
        return result

    def scenario() -> Result:
        start = time.monotonic()
        return trio.run(main), time.monotonic() - start, descendants()

    return in_child(scenario)


async def later(seconds: float, act: Callable[[], object]) -> None:
    await trio.sleep(seconds)
    act()


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", Exited(0)), ("exit 42", Exited(42)), ("kill -9 $$", Signaled(9))]
)
def test_how_it_ended(script: str, status: Exited | Signaled) -> None:
    assert run(script)[0] == status


def test_what_it_leaves_running_is_ended() -> None:
    status, seconds, left = run("(sleep 60 &) ; sleep 60 & exit 3")
    assert (status, left) == (Exited(3), set())
    assert seconds < 10


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_asks_first(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    status, seconds, left = run(f"trap 'exit 5' {name}; sleep 60 & wait", stop_after=0.3, stop_by=number)
    assert (status, left) == (Exited(5), set())
    assert seconds < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "got"), [(signal.SIGTERM, signal.SIGQUIT), (signal.SIGINT, signal.SIGINT)], ids=["SIGTERM", "SIGINT"]
)
def test_an_app_may_have_a_stop_signal_of_its_own(asked: signal.Signals, got: signal.Signals) -> None:
    traps = "; ".join(
        f"trap 'exit {int(one)}' {one.name[3:]}" for one in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
    )
    status, _, left = run(f"{traps}; sleep 60 & wait", stop_after=0.3, stop_by=asked, stop_signal=signal.SIGQUIT)
    assert (status, left) == (Exited(int(got)), set())


@pytest.mark.slow
def test_a_stop_kills_after_the_grace() -> None:
    status, seconds, left = run("trap '' TERM; while :; do sleep 60; done", stop_after=0.3, grace=0.3)
    assert (status, left) == (Signaled(9), set())
    assert seconds < 8


@pytest.mark.slow
def test_cancelled_it_leaves_nothing_either() -> None:
    status, _, left = run("sleep 60 & sleep 60", cancel_after=0.3)
    assert (status, left) == ("cancelled", set())


def test_a_program_that_is_missing_is_an_error() -> None:
    plan = config.App(argv=("/no/such",), env={}, cwd="/", uid=0, gid=0)

    async def main() -> str:
        reaper = Reaper()
        async with trio.open_nursery() as nursery:
            await nursery.start(reaper.run)
            try:
                await app.run(plan, root="/", output=1, reaper=reaper, stop=Stop())
            except LaunchError as error:
                nursery.cancel_scope.cancel()
                return str(error)
        return "started"

    assert in_child(lambda: trio.run(main)) == "cannot start the app: /no/such: No such file or directory"


def test_an_app_that_is_only_half_launched_is_ended_too() -> None:
    plan = config.App(argv=("/bin/sleep", "60"), env={}, cwd="/", uid=0, gid=0)

    async def main() -> None:
        reaper = Reaper()
        async with trio.open_nursery() as nursery:
            await nursery.start(reaper.run)
            with open(os.devnull, "wb") as output, trio.CancelScope() as scope:
                scope.cancel()
                await app.run(plan, root="/", output=output.fileno(), reaper=reaper, stop=Stop(), grace=10)
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()

    def scenario() -> set[int]:
        trio.run(main)
        return descendants()

    assert in_child(scenario) == set()
