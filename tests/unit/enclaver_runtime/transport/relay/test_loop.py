from __future__ import annotations

import math
import socket
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.transport.relay.loop import HANG_UP, READABLE, WRITABLE, Activity, Loop, open_loop


def pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


class Closed(Activity):
    """An activity that says when it was closed."""

    def __init__(self) -> None:
        self.times = 0

    def close(self) -> None:
        self.times += 1


class Late(Closed):
    """An activity that calls when it expires."""

    def __init__(self, call: Callable[[Late], None]) -> None:
        super().__init__()
        self._call = call

    def expire(self) -> None:
        self._call(self)


@trio_test
async def test_callbacks_are_called_for_what_they_watch_until_it_is_forgotten() -> None:
    left, right = pair()
    seen: list[int] = []
    happened = trio.Event()

    def note(events: int) -> None:
        seen.append(events)
        happened.set()
        loop.forget(left.fileno())

    with left, right:
        async with open_loop() as loop:
            loop.watch(left.fileno(), READABLE, note)
            right.send(b"x")
            await happened.wait()
            happened = trio.Event()
            loop.watch(left.fileno(), WRITABLE, note)
            loop.watch(left.fileno(), READABLE | WRITABLE, note)
            await happened.wait()
            right.close()
            happened = trio.Event()
            loop.watch(left.fileno(), 0, note)
            await happened.wait()
            loop.forget(left.fileno())
    assert seen[:2] == [READABLE, READABLE | WRITABLE]
    assert seen[2] & HANG_UP


@trio_test
async def test_what_a_callback_has_released_gets_no_events_of_the_same_turn() -> None:
    pairs = [pair(), pair()]
    released = {left.fileno() for left, _ in pairs}
    numbers: set[int] = set()
    called: list[int] = []
    done = trio.Event()

    def release_both(_events: int) -> None:
        called.append(1)
        for left, _ in pairs:
            loop.release(left)
            loop.release(left)
        # What is opened now must not get the number of what was released in this turn.
        new, other = pair()
        with new, other:
            numbers.update({new.fileno(), other.fileno()})
        done.set()

    async with open_loop() as loop:
        for left, right in pairs:
            loop.watch(left.fileno(), READABLE, release_both)
            right.send(b"x")
        await done.wait()
        await trio.sleep(0)
    assert called == [1]
    assert not numbers & released
    for left, right in pairs:
        assert left.fileno() == -1
        right.close()


def test_activities_expire_in_order_once_and_not_when_discarded() -> None:
    expired: list[float] = []

    async def main() -> None:
        async with open_loop() as loop:
            start = trio.current_time()
            assert loop.time() == start

            def note(activity: Late) -> None:
                assert activity.deadline == math.inf
                expired.append(trio.current_time() - start)
                if len(expired) == 3:
                    loop.expire_at(activity, start + 30)

            for seconds in (3, 1, 2, 1.5):
                activity = Late(note)
                loop.add(activity)
                loop.expire_at(activity, start + seconds)
            # The last one's deadline is put off twice, then it is not there any more; no deadline is before it.
            loop.expire_at(activity, start + 4)
            await trio.sleep(3.5)
            loop.expire_at(activity, start + 40)
            await trio.sleep(31)
            loop.discard(activity)
            await trio.sleep(100)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert expired == pytest.approx([1, 2, 3, 30])


def test_what_expires_may_end_others_that_were_to_expire() -> None:
    expired: list[Late] = []

    async def main() -> None:
        async with open_loop() as loop:

            def end_all(activity: Late) -> None:
                expired.append(activity)
                for one in both:
                    loop.discard(one)

            both = [Late(end_all), Late(end_all)]
            for one in both:
                loop.add(one)
                loop.expire_at(one, trio.current_time() + 1)
            await trio.sleep(100)
        assert expired == both[:1]

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_many_deadlines_are_looked_at_together() -> None:
    looks: list[float] = []

    async def main() -> None:
        async with open_loop() as loop:
            start = trio.current_time()
            for number in range(1000):
                activity = Late(lambda _: looks.append(trio.current_time()))
                loop.add(activity)
                loop.expire_at(activity, start + 1 + number / 1000)
            await trio.sleep(10)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(looks) == 1000
    # Every one of them costs as much as there are activities.
    assert len(set(looks)) <= 21


@trio_test
async def test_activities_end_with_their_loop() -> None:
    kept, ended = Closed(), Closed()
    async with open_loop() as loop:
        loop.add(kept)
        loop.add(ended)
        loop.discard(ended)
    assert (kept.times, ended.times) == (1, 0)


@trio_test
async def test_what_a_callback_raises_ends_the_loop_and_all_on_it() -> None:
    left, right = pair()
    kept = Closed()

    def fail(_events: int) -> None:
        raise RuntimeError("a defect")

    async def run() -> None:
        async with open_loop() as loop:
            loop.add(kept)
            loop.watch(left.fileno(), WRITABLE, fail)
            await trio.sleep_forever()

    with left, right, pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(RuntimeError, match="a defect")
    assert kept.times == 1


@trio_test
async def test_other_tasks_get_their_turn() -> None:
    left, right = pair()
    turns = 0
    with left, right:
        async with open_loop() as loop:
            loop.watch(left.fileno(), WRITABLE, lambda _events: None)
            for _ in range(10):
                await trio.sleep(0)
                turns += 1
            loop.forget(left.fileno())
    assert turns == 10


def test_a_loop_can_be_closed_without_having_run() -> None:
    Loop().close()
