"""Callbacks on one epoll and by the clock, for which one trio task waits."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT

#: A peer that has closed altogether, or a failure; told of without being asked for.
HANG_UP: Final = select.EPOLLHUP | select.EPOLLERR

# What is done before other tasks of the process get their turn: rounds of so many events, until so many seconds have
# gone by. An event moves a mebibyte at most.
_EVENTS = 64
_TURN_SECONDS = 0.005

# Between one look at all deadlines and the next, at least: each costs as much as there are activities.
_LOOK_SECONDS = 0.05


class Activity:
    """Something on a loop, which ends with it; what is waited for seldom fails to come in time.

    So setting a deadline is a mere attribute, and nothing keeps them in order: when the first of them comes, the loop
    looks at those of all activities.
    """

    __slots__ = ("deadline",)

    #: When :meth:`expire` is called, by trio's clock; set by :class:`Loop`.
    deadline: float

    def expire(self) -> None:
        """The deadline has come; there is none now."""

    def close(self) -> None:
        """Stop at once, and close all that it has."""
        raise NotImplementedError


class Loop:
    """See :func:`open_loop`. Not for threads; its methods are for its callbacks and for trio tasks beside it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._activities: dict[Activity, None] = {}
        # No deadline is before it.
        self._first_deadline = math.inf
        self._scope = trio.CancelScope()
        self._released: list[int] = []
        self._calling = False
        self._now = 0.0

    def time(self) -> float:
        """What trio's clock says; within callbacks, what it said when they began to be called."""
        return self._now if self._calling else trio.current_time()

    def add(self, activity: Activity) -> None:
        """Close ``activity`` when the loop ends, unless it is discarded before."""
        activity.deadline = math.inf
        self._activities[activity] = None

    def discard(self, activity: Activity) -> None:
        """Forget ``activity``, which has ended, and its deadline."""
        self._activities.pop(activity, None)

    def expire_at(self, activity: Activity, when: float) -> None:
        """Have one of the loop's activities expire when trio's clock says ``when``, and not before."""
        activity.deadline = when
        if when < self._first_deadline:
            self._first_deadline = self._scope.deadline = when

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
        if watched is not None and (callback is None or callback == watched[1]):
            del self._watched[number]
            self._epoll.unregister(number)

    def release(self, plain: socket.socket) -> None:
        """Watch a socket no longer, and close it; harmless if it is closed."""
        # So much less than a socket's own close() does, that it shows.
        number = plain.detach()
        if number != -1:
            # Closing it takes it out of the epoll, as nobody else has it: what is forked here inherits no socket for
            # longer than until it executes its program.
            self._watched.pop(number, None)
            # Not while callbacks are called: its number would be a new socket's, and what has happened to it as well.
            self._released.append(number)
            if not self._calling:
                self._close_released()

    async def run(self) -> None:
        """Call what is to be called until cancelled."""
        number = self._epoll.fileno()
        while True:
            # One scope for many waits: entering one costs as much as a connection's share of an epoll does.
            with trio.CancelScope(deadline=self._first_deadline) as self._scope:
                while True:
                    await trio.lowlevel.wait_readable(number)
                    self._poll()
            self._expire()

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
        # Looked up once, not for each event.
        poll, watched_by = self._epoll.poll, self._watched.get
        while self._now < end and (happened := poll(0, _EVENTS)):
            for number, events in happened:
                # An earlier one's callback may have made an end to it.
                watched = watched_by(number)
                if watched is not None:
                    watched[1](events)
            if self._released:
                self._close_released()
            self._now = trio.current_time()
        self._calling = False

    def _expire(self) -> None:
        now = trio.current_time()
        self._first_deadline = math.inf
        for activity in sorted([one for one in self._activities if one.deadline <= now], key=_deadline):
            # An earlier one's end may have been its own.
            if activity in self._activities:
                activity.deadline = math.inf
                activity.expire()
        first = min(map(_deadline, self._activities), default=math.inf)
        self._first_deadline = max(first, now + _LOOK_SECONDS)

    def _close_released(self) -> None:
        for number in self._released:
            socket.close(number)
        self._released.clear()


def _deadline(activity: Activity) -> float:
    return activity.deadline


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
