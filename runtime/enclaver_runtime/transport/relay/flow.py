"""Bytes one way, from a socket to a socket, neither of which is ever waited for.

Small amounts are copied, through one buffer that all flows share: a connection that is silent holds none. Past the
first 128 KiB of a flow the kernel moves them (splice(2)) through a pipe, where both sockets can do that; that of vsock
can on some kernels only, which shows at the first try. Either way nothing more is read until the sink has taken what
was, so that a slow reader slows its writer down. When much waits for slow readers in all, little is read at a time, so
that thousands of them do not fill the memory together.
"""

from __future__ import annotations

import errno
import os
import socket
from enum import Enum, auto
from typing import Final

from enclaver_runtime.transport.relay.pipes import PIPE_SIZE, Pipe, Pipes

#: What is copied at a time, in bytes.
BUFFER = 256 * 1024

#: When so many bytes wait for the sinks of a loop, in all...
MUCH_HELD = 32 * 1024 * 1024

#: ...no more than so many are copied at a time.
LITTLE = 16 * 1024

#: After so many bytes, a flow is bulk.
BULK = 128 * 1024

# Reads before others get their turn.
_TURNS: Final = range(4)

_NEVER: Final = float("inf")
_SPLICE: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
_NO_SPLICE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class SinkError(OSError):
    """Sending has failed."""


class Progress(Enum):
    """What a flow waits for."""

    SOURCE = auto()
    SINK = auto()
    NOTHING = auto()
    """The source has ended, and the sink has taken everything."""


# A member is looked up where it is named; these are needed at every event.
_MORE: Final = Progress.SOURCE
_NOTHING: Final = Progress.NOTHING


class Means:
    """What the flows of a loop share; ``held`` is how many bytes wait for their sinks, apart from what is in pipes."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER))
        self.little = self.buffer[:LITTLE]
        self.pipes = Pipes()
        self.held = 0


class Flow:
    """The way from ``source`` to ``sink``; ``first`` is sent before anything from the source.

    What fails raises: :class:`SinkError` for the sink, any other OSError for the source.
    """

    __slots__ = ("_bulk_left", "_held", "_means", "_pipe", "is_blocked", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket, means: Means, first: bytes = b"") -> None:
        self.source = source
        self.sink = sink
        #: Whether bytes wait for the sink.
        self.is_blocked = bool(first)
        self._means = means
        self._held = first
        means.held += len(first)
        self._pipe: Pipe | None = None
        # Counted down to splicing; infinite where there is none.
        self._bulk_left: float = BULK

    def move(self) -> Progress:
        """Read and send what can be, in turn with others; only while nothing waits for the sink."""
        means = self._means
        for _ in _TURNS:
            if self._bulk_left <= 0:
                # As much at once as all turns of copying.
                progress = self._splice()
                if progress is not None:
                    return progress
            buffer = means.buffer if means.held < MUCH_HELD else means.little
            try:
                size = self.source.recv_into(buffer)
            except BlockingIOError:
                return _MORE
            if not size:
                return _NOTHING
            self._bulk_left -= size
            try:
                sent = self.sink.send(buffer[:size])
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise SinkError(error.errno, error.strerror) from error
            if sent != size:
                return self._hold(bytes(buffer[sent:size]))
            if size != len(buffer):
                return _MORE
        return _MORE

    def flush(self) -> Progress:
        """Send what waits for the sink."""
        if self._pipe is not None:
            return self._empty(self._pipe)
        try:
            sent = self.sink.send(self._held)
        except BlockingIOError:
            return Progress.SINK
        except OSError as error:
            raise SinkError(error.errno, error.strerror) from error
        return self._hold(self._held[sent:])

    def discard(self) -> Progress:
        """Read what can be, for nobody; what waits for the sink is dropped."""
        self.drop()
        for _ in _TURNS:
            try:
                if not self.source.recv_into(self._means.buffer):
                    return Progress.NOTHING
            except BlockingIOError:
                break
        return Progress.SOURCE

    def drop(self) -> None:
        """Forget what waits for the sink."""
        if self.is_blocked:
            self._hold(b"")
            if self._pipe is not None:
                self._means.pipes.give_back(self._pipe)
                self._pipe = None

    def _hold(self, data: bytes) -> Progress:
        self._means.held += len(data) - len(self._held)
        self._held = data
        self.is_blocked = bool(data)
        return Progress.SINK if data else _MORE

    def _splice(self) -> Progress | None:
        """Move what can be through a pipe; None where it is to be copied."""
        pipe = self._means.pipes.take()
        if pipe is None:
            return None
        try:
            pipe.held = os.splice(self.source.fileno(), pipe.input, PIPE_SIZE, flags=_SPLICE)
        except OSError as error:
            self._means.pipes.give_back(pipe)
            if error.errno == errno.EAGAIN:
                # Mostly there is nothing. But at a byte that was sent as urgent (TCP), splicing stops for good, while
                # the socket stays readable; receiving goes on behind it.
                return None
            if error.errno not in _NO_SPLICE:
                raise
            self._bulk_left = _NEVER
            return None
        if not pipe.held:
            self._means.pipes.give_back(pipe)
            return _NOTHING
        self._pipe, self.is_blocked = pipe, True
        return self._empty(pipe)

    def _empty(self, pipe: Pipe) -> Progress:
        while pipe.held:
            try:
                pipe.held -= os.splice(pipe.output, self.sink.fileno(), pipe.held, flags=_SPLICE)
            except BlockingIOError:
                return Progress.SINK
            except OSError as error:
                if error.errno not in _NO_SPLICE:
                    raise SinkError(error.errno, error.strerror) from error
                self._bulk_left = _NEVER
                self._hold(os.read(pipe.output, pipe.held))
                pipe.held = 0
        self._means.pipes.give_back(pipe)
        self._pipe = None
        if self._held:
            return self.flush()
        self.is_blocked = False
        return _MORE
