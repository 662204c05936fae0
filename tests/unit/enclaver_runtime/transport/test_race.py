from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import MockClock

from enclaver_runtime.transport.race import Attempt, race
from tests.unit.enclaver_runtime.net import unix_pair


class Attempts:
    """Attempts that take so many seconds and then fail with an errno, or succeed; and when they began."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.streams: list[trio.SocketStream] = []

    def make(self, seconds: float, code: int = 0, *, stubborn: bool = False) -> Attempt:
        async def attempt() -> trio.SocketStream:
            self.began.append(trio.current_time() - start)
            with trio.CancelScope(shield=stubborn):
                await trio.sleep(seconds)
            if code:
                raise OSError(code, "failed")
            stream, other = unix_pair()
            other.socket.close()
            self.streams.append(stream)
            return stream

        start = trio.current_time()
        return attempt


def run(test: object, *args: object) -> None:
    trio.run(test, *args, clock=MockClock(autojump_threshold=0.001))  # type: ignore[arg-type]  # Any test's arguments.


def test_each_begins_a_moment_after_the_one_before_or_when_it_failed() -> None:
    async def main() -> None:
        attempts = Attempts()
        plan = [attempts.make(100), attempts.make(0.1, errno.ECONNREFUSED), attempts.make(1), attempts.make(100)]
        index, stream = await race(plan, stagger=0.25)
        await stream.aclose()
        assert index == 2
        assert [round(one, 2) for one in attempts.began] == [0, 0.25, 0.35, 0.6]

    run(main)


def test_the_first_failure_is_told_when_all_fail() -> None:
    async def main() -> None:
        attempts = Attempts()
        plan = [attempts.make(3, errno.ETIMEDOUT), attempts.make(1, errno.ECONNREFUSED)]
        with pytest.raises(TimeoutError):
            await race(plan, stagger=0.25)

    run(main)


def test_a_second_winner_is_closed() -> None:
    async def main() -> None:
        attempts = Attempts()
        index, stream = await race([attempts.make(1, stubborn=True), attempts.make(1, stubborn=True)])
        await stream.aclose()
        assert len(attempts.streams) == 2
        assert [one.socket.fileno() for one in attempts.streams] == [-1, -1]

    run(main)


def test_a_winner_that_comes_with_the_cancellation_is_not_lost() -> None:
    async def main() -> None:
        attempts = Attempts()
        with trio.move_on_after(1):
            _, stream = await race([attempts.make(2, stubborn=True)])
        await stream.aclose()
        assert [one.socket.fileno() for one in attempts.streams] == [-1]

    run(main)


def test_a_cancelled_race_leaves_nothing() -> None:
    async def main() -> None:
        attempts = Attempts()
        with trio.move_on_after(1) as scope:
            await race([attempts.make(2), attempts.make(3)])
        assert scope.cancelled_caught
        assert attempts.streams == []

    run(main)


def test_a_winner_is_closed_when_the_caller_is_cancelled_beside_it() -> None:
    async def main() -> None:
        attempts = Attempts()
        with trio.CancelScope() as scope:

            async def winning() -> trio.SocketStream:
                stream = await attempts.make(1)()
                scope.cancel()
                return stream

            await race([winning, attempts.make(100)])
        assert scope.cancelled_caught
        assert [one.socket.fileno() for one in attempts.streams] == [-1]

    run(main)
