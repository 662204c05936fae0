"""Bytes one way, from a socket to a socket, neither of which is ever waited for.

Small amounts are copied, through one buffer that all flows share: a connection that is silent holds none. Past the
first 128 KiB of a flow the kernel moves them (splice(2)) through a pipe, where both sockets can do that; that of vsock
can on some kernels only, which shows at the first try. Either way nothing more is read until the sink has taken what
was, so that a slow reader slows its writer down.
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

#: After so many bytes, a flow is bulk.
BULK = 128 * 1024

# Reads before others get their turn.
_TURNS = 4

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


class Means:
    """What the flows of a loop share."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER))
        self.pipes = Pipes()


class Flow:
    """The way from ``source`` to ``sink``; ``first`` is sent before anything from the source.

    What fails raises: :class:`SinkError` for the sink, any other OSError for the source.
    """

    __slots__ = ("_bulk_left", "_held", "_means", "_pipe", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket, means: Means, first: bytes = b"") -> None:
        self.source = source
        self.sink = sink
        self._means = means
        self._held = first
        self._pipe: Pipe | None = None
        # Counted down to splicing; infinite where there is none.
        self._bulk_left: float = BULK

    @property
    def is_blocked(self) -> bool:
        """Whether bytes wait for the sink."""
        return self._pipe is not None or bool(self._held)

    def move(self) -> Progress:
        """Read and send what can be, in turn with others; only while nothing waits for the sink."""
        for _ in range(_TURNS):
            if self._bulk_left <= 0:
                # As much at once as all turns of copying.
                return self._splice() or Progress.SOURCE
            progress = self._copy()
            if progress is not None:
                return progress
        return Progress.SOURCE

    def flush(self) -> Progress:
        """Send what waits for the sink."""
        if self._pipe is not None:
            return self._empty(self._pipe) or Progress.SOURCE
        sent = self._send(self._held)
        self._held = self._held[sent:]
        return Progress.SINK if self._held else Progress.SOURCE

    def discard(self) -> Progress:
        """Read what can be, for nobody; what waits for the sink is dropped."""
        self.drop()
        for _ in range(_TURNS):
            try:
                if not self.source.recv_into(self._means.buffer):
                    return Progress.NOTHING
            except BlockingIOError:
                break
        return Progress.SOURCE

    def drop(self) -> None:
        """Forget what waits for the sink."""
        self._held = b""
        if self._pipe is not None:
            self._means.pipes.give_back(self._pipe)
            self._pipe = None

    # None, in what follows: there may be more to read.

    def _copy(self) -> Progress | None:
        buffer = self._means.buffer
        try:
            size = self.source.recv_into(buffer)
        except BlockingIOError:
            return Progress.SOURCE
        if not size:
            return Progress.NOTHING
        self._bulk_left -= size
        sent = self._send(buffer[:size])
        if sent < size:
            self._held = bytes(buffer[sent:size])
            return Progress.SINK
        return None if size == len(buffer) else Progress.SOURCE

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self.sink.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise SinkError(error.errno, error.strerror) from error

    def _splice(self) -> Progress | None:
        pipe = self._means.pipes.take()
        if pipe is None:
            return self._copy()
        self._pipe = pipe
        try:
            pipe.held = os.splice(self.source.fileno(), pipe.input, PIPE_SIZE, flags=_SPLICE)
        except OSError as error:
            self.drop()
            if error.errno == errno.EAGAIN:
                # Mostly there is nothing. But at a byte that was sent as urgent (TCP), splicing stops for good, while
                # the socket stays readable; receiving goes on behind it.
                return self._copy()
            return self._copy_from_now_on(error)
        if not pipe.held:
            self.drop()
            return Progress.NOTHING
        return self._empty(pipe)

    def _empty(self, pipe: Pipe) -> Progress | None:
        while pipe.held:
            try:
                pipe.held -= os.splice(pipe.output, self.sink.fileno(), pipe.held, flags=_SPLICE)
            except BlockingIOError:
                return Progress.SINK
            except OSError as error:
                if error.errno not in _NO_SPLICE:
                    raise SinkError(error.errno, error.strerror) from error
                self._bulk_left = float("inf")
                self._held = os.read(pipe.output, pipe.held)
                pipe.held = 0
        self._means.pipes.give_back(pipe)
        self._pipe = None
        return self.flush() if self._held else None

    def _copy_from_now_on(self, error: OSError) -> Progress | None:
        if error.errno not in _NO_SPLICE:
            raise error
        self._bulk_left = float("inf")
        return self._copy()
