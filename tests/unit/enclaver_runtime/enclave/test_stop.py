from __future__ import annotations

import signal

import trio
from trio.testing import MockClock

from enclaver_runtime.enclave.stop import Stop


def test_the_first_wish_counts() -> None:
    async def main() -> None:
        stop = Stop()
        with trio.move_on_after(5) as patience:
            await stop.wait()
        assert patience.cancelled_caught
        assert stop.ask(signal.SIGINT)
        assert not stop.ask()
        assert await stop.wait() == await stop.wait() == signal.SIGINT

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_the_usual_wish() -> None:
    async def main() -> None:
        stop = Stop()
        stop.ask()
        assert await stop.wait() == signal.SIGTERM

    trio.run(main)
