"""Two flows between two sockets, as :mod:`enclaver_runtime.transport.pump` has it, as callbacks.

Each flow is in one of these states; the last column is what happens when its source hangs up altogether.

==========  ==============================================  ========================  ==============
state       it is                                           left by                   a hang-up
==========  ==============================================  ========================  ==============
FLOWING     passed on; read unless bytes wait for the sink  the source's end: ENDED,  is read
                                                            the sink's failure:
                                                            DISCARDING
ENDED       over, and the sink told so (unless held)        --                        ends it all
DISCARDING  read for nobody, so that what the sink said     the source's end:         is read
            last can reach the source                       DISCARDED
DISCARDED   over                                            --                        means nothing
==========  ==============================================  ========================  ==============

The channel is over when both flows have ended; when a flow ends beside one that discards; when a source fails, or a
sink beside a flow that has ended or discards; and at silence, once a flow is no longer FLOWING.
"""

from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Callable
from enum import Enum, auto

from enclaver_runtime.transport.pump import abort
from enclaver_runtime.transport.relay.flow import Flow, Means, Progress, SinkError
from enclaver_runtime.transport.relay.loop import HANG_UP, READABLE, WRITABLE, Loop, Timer


class _State(Enum):
    FLOWING = auto()
    ENDED = auto()
    DISCARDING = auto()
    DISCARDED = auto()


class _Way:
    """A flow, its state, and the seconds for which its end is held back instead of passed on (0: it is passed on)."""

    __slots__ = ("events", "flow", "hold", "state")

    def __init__(self, flow: Flow, hold: float) -> None:
        self.flow = flow
        self.hold = hold
        self.state = _State.FLOWING
        # What its source is watched for; None: not at all.
        self.events: int | None = None

    @property
    def is_read(self) -> bool:
        return self.state is _State.DISCARDING or (self.state is _State.FLOWING and not self.flow.is_blocked)


class Channel:
    """A relay between two sockets that are the channel's from now on; it closes them.

    Args:
        to_left, to_right: what either side gets before anything from the other.
        half_open, hold: as for :func:`enclaver_runtime.transport.pump.pump`.
        on_end: called, at the end, with whether both directions have ended in order; not after :meth:`close`.
    """

    def __init__(
        self,
        loop: Loop,
        means: Means,
        left: socket.socket,
        right: socket.socket,
        *,
        to_left: bytes = b"",
        to_right: bytes = b"",
        half_open: float,
        hold: float,
        on_end: Callable[[bool], None],
    ) -> None:
        self._loop = loop
        self._half_open = half_open
        self._on_end = on_end
        self._ended = 0
        self._draining = False
        self._failed = False
        self._over = False
        self._timer: Timer | None = None
        # Kept from when it begins to matter.
        self._last_bytes = 0.0
        up, down = _Way(Flow(left, right, means, to_right), hold), _Way(Flow(right, left, means, to_left), 0.0)
        self._ways = up, down
        # A socket is the source of one way and the sink of the other.
        self._left_ready = functools.partial(self._ready, up, down)
        self._right_ready = functools.partial(self._ready, down, up)
        loop.add(self)
        for way in self._ways:
            if not self._over and way.flow.is_blocked:
                self._flush(way)
        self._watch()

    def close(self) -> None:
        """Close both sockets at once."""
        if not self._over:
            self._over = True
            self._loop.discard(self)
            if self._timer is not None:
                self._timer.cancel()
            for way in self._ways:
                way.flow.drop()
                self._loop.release(way.flow.source)

    def _ready(self, out_of: _Way, into: _Way, events: int) -> None:
        if events == READABLE and out_of.state is _State.FLOWING and not out_of.flow.is_blocked:
            # By far the most frequent case, and mostly nothing else is to be watched for after it.
            if self._read(out_of):
                return
        else:
            if into.flow.is_blocked and events & (WRITABLE | HANG_UP):
                self._flush(into)
            if not self._over and events & (READABLE | HANG_UP):
                if out_of.is_read:
                    self._read(out_of)
                elif out_of.state is _State.ENDED and events & HANG_UP:
                    self._finish()
        self._watch()

    def _flush(self, way: _Way) -> None:
        try:
            way.flow.flush()
        except SinkError as error:
            self._sink_failed(way, error)

    def _read(self, way: _Way) -> bool:
        """Read what is there; whether all of it has been passed on, and more may come."""
        try:
            if way.state is _State.DISCARDING:
                if way.flow.discard() is Progress.NOTHING:
                    way.state = _State.DISCARDED
                return False
            if self._timer is not None:
                self._last_bytes = self._loop.time()
            progress = way.flow.move()
            if progress is Progress.NOTHING:
                self._end(way)
        except SinkError as error:
            self._sink_failed(way, error)
        except OSError:
            self._failed = True
            self._finish()
        else:
            return progress is Progress.SOURCE
        return False

    def _end(self, way: _Way) -> None:
        way.state = _State.ENDED
        self._ended += 1
        if self._draining or self._ended == 2:
            self._finish()
            return
        if not way.hold:
            way.flow.sink.shutdown(socket.SHUT_WR)
        self._begin_silence(way.hold or self._half_open)

    def _sink_failed(self, way: _Way, error: OSError) -> None:
        if self._ended or self._draining:
            self._failed = True
            self._finish()
            return
        self._draining = True
        # With EPIPE, the sink has ended its output in order: what it sent is complete.
        self._failed = error.errno != errno.EPIPE
        way.state = _State.DISCARDING
        way.flow.drop()
        self._begin_silence(self._half_open)

    def _begin_silence(self, seconds: float) -> None:
        self._last_bytes = self._loop.time()
        self._end_at_silence(seconds)

    def _end_at_silence(self, seconds: float) -> None:
        end = self._last_bytes + seconds
        if end > self._loop.time():
            self._timer = self._loop.call_at(end, functools.partial(self._end_at_silence, seconds))
        else:
            self._finish()

    def _finish(self) -> None:
        if self._failed:
            for way in self._ways:
                abort(way.flow.source)
        self.close()
        self._on_end(self._ended == 2)

    def _watch(self) -> None:
        if not self._over:
            up, down = self._ways
            self._watch_one(up, down, self._left_ready)
            self._watch_one(down, up, self._right_ready)

    def _watch_one(self, out_of: _Way, into: _Way, ready: Callable[[int], None]) -> None:
        events: int | None = (READABLE if out_of.is_read else 0) | (WRITABLE if into.flow.is_blocked else 0)
        if not events and out_of.state is not _State.ENDED:
            # Or a hang-up, which is told of without being asked for, would be told of over and over.
            events = None
        if events != out_of.events:
            out_of.events = events
            if events is None:
                self._loop.forget(out_of.flow.source.fileno())
            else:
                self._loop.watch(out_of.flow.source.fileno(), events, ready)
