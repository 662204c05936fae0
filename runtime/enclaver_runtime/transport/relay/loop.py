"""Callbacks on one epoll and by the clock, for which one trio task waits."""

from __future__ import annotations

import heapq
import itertools
import math
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import trio

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT

#: A peer that has closed altogether, or a failure; told of without being asked for.
HANG_UP: Final = select.EPOLLHUP | select.EPOLLERR

# What is done before other tasks of the process get their turn: rounds of so many events, until so many seconds have
# gone by. An event moves a mebibyte at most.
_EVENTS = 64
_TURN_SECONDS = 0.005

# Timers that are cancelled lie where they are until so many have come together.
_MAX_DEAD_TIMERS = 256


class Activity(Protocol):
    """Something on a loop, which ends with it."""

    def close(self) -> None:
        """Stop at once, and close all that it has."""


class Timer:
    """A call to come, unless it is cancelled before."""

    __slots__ = ("_loop", "callback")

    def __init__(self, loop: Loop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call; harmless after the call."""
        if self.callback is not None:
            self.callback = None
            self._loop.dead_timers += 1


class Loop:
    """See :func:`open_loop`. Not for threads; its methods are for its callbacks and for trio tasks beside it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._activities: dict[Activity, None] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._scope = trio.CancelScope()
        self._released: list[socket.socket] = []
        self._calling = False
        self._now = 0.0
        self.dead_timers = 0

    def time(self) -> float:
        """What trio's clock says; within callbacks, what it said when they began to be called."""
        return self._now if self._calling else trio.current_time()

    def add(self, activity: Activity) -> None:
        """Close ``activity`` when the loop ends, unless it is discarded before."""
        self._activities[activity] = None

    def discard(self, activity: Activity) -> None:
        """Forget ``activity``, which has ended."""
        self._activities.pop(activity, None)

    def watch(self, number: int, events: int, callback: Callable[[int], None]) -> None:
        """Call ``callback`` with what has happened to a file, whenever it is one of ``events`` or a hang-up.

        A file that is watched already is from now on watched in this way. Forget it before it is closed.
        """
        watched = self._watched.get(number)
        if watched is None:
            self._epoll.register(number, events)
        elif watched[0] != events:
            self._epoll.modify(number, events)
        self._watched[number] = events, callback

    def forget(self, number: int, callback: Callable[[int], None] | None = None) -> None:
        """Watch a file no longer; harmless if it is not watched, or for another callback than the one given."""
        watched = self._watched.get(number)
        if watched is not None and callback in (None, watched[1]):
            del self._watched[number]
            self._epoll.unregister(number)

    def release(self, plain: socket.socket) -> None:
        """Watch a socket no longer, and close it; harmless if it is closed."""
        number = plain.fileno()
        if number != -1:
            # Closing it takes it out of the epoll, as nobody else has it: what is forked here inherits no socket for
            # longer than until it executes its program.
            self._watched.pop(number, None)
            # Not while callbacks are called: its number would be a new socket's, and what has happened to it as well.
            self._released.append(plain)
            if not self._calling:
                self._close_released()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once, when trio's clock says ``when``."""
        timer = Timer(self, callback)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        if when < self._scope.deadline:
            self._scope.deadline = when
        if self.dead_timers > _MAX_DEAD_TIMERS and 2 * self.dead_timers > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self.dead_timers = 0
        return timer

    async def run(self) -> None:
        """Call what is to be called until cancelled."""
        number = self._epoll.fileno()
        while True:
            # One scope for many waits: entering one costs as much as a connection's share of an epoll does.
            with trio.CancelScope(deadline=self._timers[0][0] if self._timers else math.inf) as self._scope:
                while True:
                    await trio.lowlevel.wait_readable(number)
                    self._poll()
            self._call_timers()

    def close(self) -> None:
        """End all activities, then the loop."""
        self._calling = False
        for activity in list(self._activities):
            activity.close()
        self._close_released()
        self._epoll.close()

    def _poll(self) -> None:
        self._calling = True
        self._now = trio.current_time()
        end = self._now + _TURN_SECONDS
        while self._now < end and (happened := self._epoll.poll(0, _EVENTS)):
            for number, events in happened:
                # An earlier one's callback may have made an end to it.
                watched = self._watched.get(number)
                if watched is not None:
                    watched[1](events)
            if self._released:
                self._close_released()
            self._now = trio.current_time()
        self._calling = False

    def _call_timers(self) -> None:
        now = trio.current_time()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self.dead_timers -= 1
            else:
                callback()

    def _close_released(self) -> None:
        for plain in self._released:
            plain.close()
        self._released.clear()


@asynccontextmanager
async def open_loop() -> AsyncIterator[Loop]:
    """A loop that runs beside the block and ends with it, as does all that is on it."""
    loop = Loop()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run)
            yield loop
            nursery.cancel_scope.cancel()
    finally:
        loop.close()
