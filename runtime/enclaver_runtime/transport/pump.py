"""Bytes both ways between two connected sockets, until both directions have ended or one side has failed.

A direction that ends is passed on as what it is: the other side's input ends, while the opposite direction
goes on. A failure is not an end: both sides are then reset, where their sockets can say so (TCP), so that
what was cut off is not taken for complete.

A side that takes no more may still have said why: a server refuses an upload, answers and closes. So when
sending to it fails, what it has sent is passed on first, while what is meant for it is discarded.

When one direction has ended, the other may have nobody left to talk to, which shows in no read. Two things
end it then: the hang-up (POLLHUP) that a socket reports when its peer has closed it altogether, and silence.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Awaitable
from typing import Protocol

import trio

#: What one direction holds at most, in bytes.
BUFFER = 256 * 1024

#: Seconds of silence after which a connection of which one direction has ended is over.
HALF_OPEN_SECONDS = 600.0

# What it begins with: most connections carry little, and thousands of them are to be cheap.
_FIRST_BUFFER = 16 * 1024

_RESET = struct.pack("ii", 1, 0)


class Side(Protocol):
    """A connection that is relayed, where it is more than a socket; what fails raises OSError."""

    def receive_into(self, buffer: memoryview, /) -> Awaitable[int]:
        """Wait for bytes; returns how many, 0 at the end of input."""

    def send(self, data: memoryview, /) -> Awaitable[int]:
        """Send some of ``data``; returns how many bytes were taken."""

    def end_output(self) -> Awaitable[None]:
        """Let the peer know that nothing more will be sent; it may send on."""

    def fileno(self) -> int:
        """The number of the socket below it."""

    def reset(self) -> None:
        """Make the coming close one that the peer takes for a failure."""


async def pump(
    left: trio.SocketStream,
    right: trio.SocketStream | Side,
    *,
    buffer_size: int = BUFFER,
    half_open: float = HALF_OPEN_SECONDS,
    hold: float = 0.0,
) -> bool:
    """Relay until both directions have ended (True), or a side has failed or gone away (False).

    A socket's failures raise nothing. The caller closes both streams, in any case.

    Args:
        half_open: seconds of silence after one direction's end that end the other one.
        hold: for a ``right`` that knows no half-close: the left side's end is not passed on, but ends the
            connection after so many seconds of silence.
    """
    sides = _Plain(left), _Plain(right) if isinstance(right, trio.SocketStream) else right
    return await _Pump(*sides, buffer_size=buffer_size, half_open=half_open, hold=hold).run()


def reset(stream: trio.SocketStream) -> None:
    """Make the coming close a reset, on TCP; other sockets have none, and are closed as ever."""
    abort(stream.socket)


def abort(connection: socket.socket | trio.socket.SocketType) -> None:
    """The same of a socket."""
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class _SinkError(OSError):
    """Sending has failed."""


class _Plain:
    """A socket as a side."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        # The socket's own methods: another one around them would cost as much as they do.
        self.receive_into, self.send, self.fileno = stream.socket.recv_into, stream.socket.send, stream.socket.fileno

    async def end_output(self) -> None:
        self._stream.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        reset(self._stream)


class _Pump:
    def __init__(self, left: Side, right: Side, *, buffer_size: int, half_open: float, hold: float) -> None:
        self._left = left
        self._right = right
        self._buffer_size = buffer_size
        self._half_open = half_open
        self._hold = hold
        self._ended = 0
        self._failed = False
        self._draining = False
        self._last_bytes = 0.0

    async def run(self) -> bool:
        self._last_bytes = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._direction, self._left, self._right, self._hold, nursery)
            nursery.start_soon(self._direction, self._right, self._left, 0.0, nursery)
        if self._failed:
            self._left.reset()
            self._right.reset()
        return self._ended == 2

    async def _direction(self, source: Side, sink: Side, hold: float, nursery: trio.Nursery) -> None:
        scope = nursery.cancel_scope
        try:
            await self._copy(source, sink)
            if not hold:
                await sink.end_output()
        except _SinkError as error:
            if not self._ended and not self._draining:
                self._draining = True
                # With EPIPE, the sink has ended its output in order: what it sent is complete.
                self._failed = error.errno != errno.EPIPE
                nursery.start_soon(self._end_at_silence, self._half_open, scope)
                await self._discard(source, scope)
                return
            self._failed = True
        except OSError:
            self._failed = True
        else:
            self._ended += 1
        if self._failed or self._draining or self._ended == 2:
            scope.cancel()
        else:
            nursery.start_soon(self._end_at_hang_up, source, scope)
            nursery.start_soon(self._end_at_silence, hold or self._half_open, scope)

    async def _copy(self, source: Side, sink: Side) -> None:
        receive_into, send = source.receive_into, sink.send
        buffer = memoryview(bytearray(min(_FIRST_BUFFER, self._buffer_size)))
        while size := await receive_into(buffer):
            self._last_bytes = trio.current_time()
            sent = 0
            try:
                while sent < size:
                    sent += await send(buffer[sent:size])
            except OSError as error:
                raise _SinkError(error.errno, error.strerror) from error
            if size == len(buffer) < self._buffer_size:
                buffer = memoryview(bytearray(self._buffer_size))
        self._last_bytes = trio.current_time()

    async def _discard(self, source: Side, scope: trio.CancelScope) -> None:
        # What is left unread would make a reset of the coming close, and that could overtake the last answer.
        buffer = memoryview(bytearray(_FIRST_BUFFER))
        try:
            while await source.receive_into(buffer):
                pass
        except OSError:
            self._failed = True
            scope.cancel()

    async def _end_at_silence(self, seconds: float, scope: trio.CancelScope) -> None:
        """End it when neither bytes nor an end have come for so long, from either side."""
        while (left := self._last_bytes + seconds - trio.current_time()) > 0:
            await trio.sleep(left)
        scope.cancel()

    async def _end_at_hang_up(self, side: Side, scope: trio.CancelScope) -> None:
        # A socket at its end of input is readable for ever. An epoll without events still tells of a hang-up,
        # and is itself a file that can be waited for.
        try:
            with select.epoll(1) as hang_up:
                hang_up.register(side.fileno(), 0)
                await trio.lowlevel.wait_readable(hang_up.fileno())
        except OSError:
            # No files left for it: silence is to end it then.
            return
        scope.cancel()
