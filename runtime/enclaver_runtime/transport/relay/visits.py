"""What comes before a relay, as generators: read from top to bottom as a task is, as cheap as callbacks.

A visit yields what it waits for, a :data:`Wait`, and goes on when that has come, or gets :class:`ExpiredError` at the
time that it has given. It may go on for nothing, so whoever yields tries, and yields again. What it waits for it
must not close itself, as the loop watches it: :meth:`Loop.release` does both.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Generator
from typing import Final, Generic, Protocol, TypeVar

import trio

from enclaver_runtime.transport.relay.loop import READABLE, WRITABLE, Activity, Loop

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_STREAM: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_TCP: Final = (socket.AF_INET, socket.AF_INET6)
_BEGUN: Final = (0, errno.EINPROGRESS)

#: A socket, what of it is waited for (the loop's READABLE, WRITABLE), and until when by trio's clock.
Wait = tuple[socket.socket, int, float]

#: A visit, or a part of one, and what it comes to.
Steps = Generator[Wait, None, T]


class ExpiredError(Exception):
    """What was waited for has not come in time."""


class Reader(Protocol[T_co]):
    """Takes at most ``wanted`` bytes at a time, none of them for the end, until it returns something."""

    @property
    def wanted(self) -> int: ...

    def receive_data(self, data: bytes) -> T_co | None: ...


def begin(family: int, address: tuple[object, ...] | str) -> socket.socket:
    """A socket that is being connected; see :func:`connected`. The caller closes it.

    Raises:
        OSError: it cannot even begin.
    """
    plain = socket.socket(family, _STREAM)
    try:
        if family in _TCP:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A number, as that it is in progress, the rule, would be a costly exception.
        error = plain.connect_ex(address)
        if error == errno.EAGAIN:
            # A unix socket's listener has no room, and nothing will ever tell of any.
            raise ConnectionRefusedError(error, os.strerror(error))
        if error not in _BEGUN:
            raise OSError(error, os.strerror(error))
    except BaseException:
        plain.close()
        raise
    return plain


def connected(loop: Loop, plain: socket.socket, until: float) -> Steps[None]:
    """Wait for a connection that was begun; closes the socket unless it comes about.

    Raises:
        OSError: it has failed.
        ExpiredError: neither has come in time.
    """
    try:
        # On one machine it has mostly come about already, which spares the loop a turn.
        if _is_connected(plain):
            return
        yield plain, WRITABLE, until
        if error := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
    except BaseException:
        loop.release(plain)
        raise


def _is_connected(plain: socket.socket) -> bool:
    try:
        plain.getpeername()
    except OSError:
        return False
    return True


def receive(plain: socket.socket, size: int, until: float) -> Steps[bytes]:
    """What comes next, at most so many bytes; none at the end. Raises OSError, ExpiredError."""
    while True:
        try:
            return plain.recv(size)
        except BlockingIOError:
            yield plain, READABLE, until


def send(plain: socket.socket, data: bytes, until: float) -> Steps[None]:
    """Send all of ``data``. Raises OSError, ExpiredError."""
    while data:
        try:
            data = data[plain.send(data) :]
        except BlockingIOError:
            yield plain, WRITABLE, until


def read(plain: socket.socket, reader: Reader[T], until: float, data: bytes) -> Steps[tuple[T, bytes]]:
    """What ``reader`` makes of ``data``, which has come already, and of what comes; and what has come behind that.

    No byte is read that the reader does not want. Raises OSError, ExpiredError, and what the reader raises.
    """
    while True:
        while True:
            wanted = reader.wanted
            result = reader.receive_data(data[:wanted])
            data = data[wanted:]
            if result is not None:
                return result, data
            if not data:
                break
        data = yield from receive(plain, reader.wanted, until)


async def drive(steps: Steps[T]) -> T:
    """Run ``steps`` in the task that calls, without a loop."""
    error: ExpiredError | None = None
    try:
        while True:
            plain, events, until = next(steps) if error is None else steps.throw(error)
            wait_for = trio.lowlevel.wait_readable if events == READABLE else trio.lowlevel.wait_writable
            with trio.move_on_at(until) as scope:
                await wait_for(plain)
            error = ExpiredError() if scope.cancelled_caught else None
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


class Visit(Activity, Generic[T]):
    """Runs ``steps`` on a loop, from now on.

    Args:
        client: whose visit it is; closed by :meth:`close`, else left to ``on_end``.
        on_end: gets the client and what they come to, None when a failure (OSError, ExpiredError) ended them; not
            called after :meth:`close`.
    """

    __slots__ = ("_client", "_loop", "_on_end", "_steps", "_watched")

    def __init__(
        self, loop: Loop, client: socket.socket, steps: Steps[T], on_end: Callable[[socket.socket, T | None], None]
    ) -> None:
        self._loop = loop
        self._client = client
        self._steps = steps
        self._on_end = on_end
        self._watched: socket.socket | None = None
        loop.add(self)
        self._proceed(None)

    def close(self) -> None:
        """End it at once, where it is."""
        self._loop.discard(self)
        self._stop_watching()
        self._steps.close()
        self._loop.release(self._client)

    def expire(self) -> None:
        """What it waits for has not come in time, which is its own to judge."""
        self._proceed(ExpiredError())

    def _resume(self, _events: int) -> None:
        self._proceed(None)

    def _proceed(self, error: ExpiredError | None) -> None:
        result: T | None
        try:
            wait = next(self._steps) if error is None else self._steps.throw(error)
        except StopIteration as end:
            result = end.value
        except (OSError, ExpiredError):
            result = None
        else:
            self._wait(wait)
            return
        self._loop.discard(self)
        watched = self._watched
        if watched is None:
            self._on_end(self._client, result)
            return
        number = watched.fileno()
        self._on_end(self._client, result)
        # Unless what has come of it watches the same socket, which has been spared the kernel then.
        self._loop.forget(number, self._resume)

    def _wait(self, wait: Wait) -> None:
        plain, events, until = wait
        if self._watched is not plain:
            self._stop_watching()
            self._watched = plain
        self._loop.watch(plain.fileno(), events, self._resume)
        self._loop.expire_at(self, until)

    def _stop_watching(self) -> None:
        if self._watched is not None:
            self._loop.forget(self._watched.fileno(), self._resume)
            self._watched = None
