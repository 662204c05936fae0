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
from typing import Final

from enclaver_runtime.transport.pump import abort
from enclaver_runtime.transport.relay.flow import Flow, Means, Progress, SinkError
from enclaver_runtime.transport.relay.loop import HANG_UP, READABLE, WRITABLE, Activity, Loop


class _State(Enum):
    FLOWING = auto()
    ENDED = auto()
    DISCARDING = auto()
    DISCARDED = auto()


# A member is looked up where it is named; these are needed at every event.
_FLOWING: Final = _State.FLOWING
_ENDED: Final = _State.ENDED
_DISCARDING: Final = _State.DISCARDING
_MORE: Final = Progress.SOURCE
_NOTHING: Final = Progress.NOTHING


class _Way(Flow):
    """A flow, its state, and the seconds for which its end is held back instead of passed on (0: it is passed on)."""

    __slots__ = ("events", "hold", "ready", "state")

    def __init__(self, source: socket.socket, sink: socket.socket, means: Means, first: bytes, hold: float) -> None:
        Flow.__init__(self, source, sink, means, first)
        self.hold = hold
        self.state = _FLOWING
        # What its source is watched for; None: not at all.
        self.events: int | None = None
        # What is called then.
        self.ready: Callable[[int], None] = _ignore


class Channel(Activity):
    """A relay between two sockets that are the channel's from now on; it closes them.

    Args:
        to_left, to_right: what either side gets before anything from the other.
        half_open, hold: as for :func:`enclaver_runtime.transport.pump.pump`.
        on_end: called, at the end, with whether both directions have ended in order; not after :meth:`close`.
    """

    __slots__ = (
        "_draining",
        "_ended",
        "_failed",
        "_half_open",
        "_last_bytes",
        "_loop",
        "_on_end",
        "_over",
        "_silence",
        "_ways",
    )

    def __init__(
        self,
        loop: Loop,
        means: Means,
        left: socket.socket,
        right: socket.socket,
        to_left: bytes = b"",
        to_right: bytes = b"",
        hold: float = 0.0,
        *,
        half_open: float,
        on_end: Callable[[bool], None],
    ) -> None:
        self._loop = loop
        self._half_open = half_open
        self._on_end = on_end
        self._ended = 0
        self._draining = False
        self._failed = False
        self._over = False
        # The seconds of silence that end it, once a flow is no longer flowing; before, nobody looks at the time.
        self._silence = 0.0
        self._last_bytes = 0.0
        up, down = _Way(left, right, means, to_right, hold), _Way(right, left, means, to_left, 0.0)
        # A socket is the source of one way and the sink of the other.
        up.ready = functools.partial(self._ready, up, down)
        down.ready = functools.partial(self._ready, down, up)
        self._ways = up, down
        loop.add(self)
        for way in self._ways:
            if way.is_blocked and not self._over:
                self._flush(way)
        self._watch()

    def close(self) -> None:
        """Close both sockets at once."""
        if not self._over:
            self._over = True
            self._loop.discard(self)
            for way in self._ways:
                # What refers to itself would be left to the garbage collector, which is slower.
                way.ready = _ignore
                if way.is_blocked:
                    way.drop()
                self._loop.release(way.source)

    def expire(self) -> None:
        """There has been silence, unless bytes have come since the deadline was set."""
        end = self._last_bytes + self._silence
        if end > self._loop.time():
            self._loop.expire_at(self, end)
        else:
            self._finish()

    def _ready(self, out_of: _Way, into: _Way, events: int) -> None:
        if events == READABLE or self._is_to_be_read(out_of, into, events):
            try:
                if out_of.state is _FLOWING:
                    if self._silence:
                        self._last_bytes = self._loop.time()
                    progress = out_of.move()
                    if progress is _MORE and events == READABLE:
                        # By far the most frequent case: all of it has been passed on, and it is watched as before.
                        return
                    if progress is _NOTHING:
                        self._end(out_of)
                elif out_of.discard() is _NOTHING:
                    out_of.state = _State.DISCARDED
            except SinkError as error:
                self._sink_failed(out_of, error)
            except OSError:
                self._failed = True
                self._finish()
        self._watch()

    def _is_to_be_read(self, out_of: _Way, into: _Way, events: int) -> bool:
        """Do what else there is to do at ``events``; whether there is something to be read, too."""
        if into.is_blocked and events & (WRITABLE | HANG_UP):
            self._flush(into)
        if self._over or not events & (READABLE | HANG_UP):
            return False
        if out_of.state is _ENDED and events & HANG_UP:
            self._finish()
        return not self._over and _is_read(out_of)

    def _flush(self, way: _Way) -> None:
        try:
            way.flush()
        except SinkError as error:
            self._sink_failed(way, error)

    def _end(self, way: _Way) -> None:
        way.state = _ENDED
        self._ended += 1
        if self._draining or self._ended == 2:
            self._finish()
            return
        if not way.hold:
            way.sink.shutdown(socket.SHUT_WR)
        self._begin_silence(way.hold or self._half_open)

    def _sink_failed(self, way: _Way, error: OSError) -> None:
        if self._ended or self._draining:
            self._failed = True
            self._finish()
            return
        self._draining = True
        # With EPIPE, the sink has ended its output in order: what it sent is complete.
        self._failed = error.errno != errno.EPIPE
        way.state = _DISCARDING
        way.drop()
        self._begin_silence(self._half_open)

    def _begin_silence(self, seconds: float) -> None:
        self._last_bytes = self._loop.time()
        self._silence = seconds
        self._loop.expire_at(self, self._last_bytes + seconds)

    def _finish(self) -> None:
        if self._failed:
            for way in self._ways:
                abort(way.source)
        self.close()
        self._on_end(self._ended == 2)

    def _watch(self) -> None:
        if not self._over:
            up, down = self._ways
            self._watch_one(up, down)
            self._watch_one(down, up)

    def _watch_one(self, out_of: _Way, into: _Way) -> None:
        if out_of.state is _FLOWING and not out_of.is_blocked and not into.is_blocked:
            events: int | None = READABLE
        else:
            events = (READABLE if _is_read(out_of) else 0) | (WRITABLE if into.is_blocked else 0)
            if not events and out_of.state is not _ENDED:
                # Or a hang-up, which is told of without being asked for, would be told of over and over.
                events = None
        if events != out_of.events:
            out_of.events = events
            if events is None:
                self._loop.forget(out_of.source.fileno())
            else:
                self._loop.watch(out_of.source.fileno(), events, out_of.ready)


def _ignore(_events: int) -> None:
    """What of a channel that is over nobody calls."""


def _is_read(way: _Way) -> bool:
    return way.state is _DISCARDING or (way.state is _FLOWING and not way.is_blocked)
