"""The app's log: collected from its pipe, kept in the ring, told to every reader."""

from __future__ import annotations

import trio

from enclaver_runtime.enclave.broadcast import Broadcast
from enclaver_runtime.protocol.log import LogRing

#: As much as a pipe holds.
_COLLECT = 64 * 1024

#: What a reader is sent at once: it can fall behind by that much before it loses anything.
_SEND = 16 * 1024


class LogServer:
    """Collects and serves the log. The app waits for :meth:`collect` only, and that for nobody."""

    def __init__(self, ring: LogRing | None = None) -> None:
        self._feed = _LogFeed(ring or LogRing())
        self._broadcast = Broadcast(self._feed)
        self._last_line = b""

    def note(self, line: str) -> None:
        """Add a line of the runtime's: outside of debug mode there is no other way to tell it."""
        self._feed.append_line(_marked(line))
        self._broadcast.wake()

    def conclude(self, line: str) -> None:
        """Let the log end with a line of the runtime's, after all that the app has written."""
        self._last_line = _marked(line)

    async def collect(self, pipe: trio.abc.ReceiveStream) -> None:
        """Take the log from ``pipe`` until its end, which is the log's, and close it."""
        async with pipe:
            while data := await pipe.receive_some(_COLLECT):
                self._feed.ring.append(data)
                self._broadcast.wake()
        if self._last_line:
            self._feed.append_line(self._last_line)
        self._feed.ended = True
        self._broadcast.wake()

    async def serve(
        self,
        listener: trio.abc.Listener[trio.abc.Stream],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; see :meth:`Broadcast.serve`."""
        await self._broadcast.serve(listener, task_status=task_status)

    async def drained(self) -> None:
        """Wait until the log has ended, and every reader has got everything or has left.

        Of a log that holds something there must have been one: a parent that reads the status at once may reach the
        log a moment later, and the enclave ends when the status is read.
        """
        # Whether it holds something is known at its end.
        await self._broadcast.settled()
        await self._broadcast.settled(readers=1 if self._feed.ring.end else 0)


def _marked(line: str) -> bytes:
    """A line that is seen not to be the app's."""
    return b"enclaver: " + line.encode("utf-8", "backslashreplace") + b"\n"


class _LogFeed:
    def __init__(self, ring: LogRing) -> None:
        self.ring = ring
        self.ended = False

    def append_line(self, line: bytes) -> None:
        """Add a line, on a line of its own."""
        last, _ = self.ring.read(self.ring.end - 1, 1)
        self.ring.append(line if last in (b"", b"\n") else b"\n" + line)

    @property
    def start(self) -> int:
        return self.ring.start

    def read(self, position: int) -> tuple[bytes, int]:
        return self.ring.read(position, _SEND)
