"""A feed served to any number of readers: each gets what there is, then what follows, at its own speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

#: More readers than this at once are turned away; a parent has one or two.
MAX_READERS = 64

_MAX_INPUT = 1024

#: Takes what one reader sends, as it comes.
Receive = Callable[[bytes], object]


class Feed(Protocol):
    """What is served: bytes by position. Reading never waits and is never refused."""

    @property
    def start(self) -> int:
        """Where a new reader begins."""

    @property
    def ended(self) -> bool:
        """Whether nothing will follow any more."""

    def read(self, position: int) -> tuple[bytes, int]:
        """Some bytes from ``position`` on and the position after them; no bytes when there are none yet."""


class Broadcast:
    """Serves ``feed`` to every connection of a listener.

    A reader that closes its sending side still gets what there is, and is then hung up on. When the feed has
    ended, a reader that has got everything is served; with ``hold`` its connection stays open until it hangs
    up itself, which tells us that it has read the end.

    Args:
        receiver: called for each reader; gives what takes that reader's input, which is ignored without it.
    """

    def __init__(self, feed: Feed, *, hold: bool = False, receiver: Callable[[], Receive] = lambda: len) -> None:
        self._feed = feed
        self._hold = hold
        self._receiver = receiver
        self._changed = trio.lowlevel.ParkingLot()
        self._left = trio.lowlevel.ParkingLot()
        self._active = 0
        self._served = 0

    def wake(self) -> None:
        """Tell the readers that the feed has grown or ended."""
        self._changed.unpark_all()
        self._left.unpark_all()

    async def serve(
        self,
        listener: trio.abc.Listener[trio.abc.Stream],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; started when readers can connect. Closes ``listener`` and every stream.

        A reader's failure ends that reader only; the listener's failures propagate.
        """
        async with trio.open_nursery() as nursery:
            task_status.started()
            await trio.serve_listeners(self._reader, [listener], handler_nursery=nursery)

    async def settled(self, *, readers: int = 0) -> None:
        """Wait until the feed has ended and was served to ``readers`` or more, and nobody is connected."""
        while not self._feed.ended or self._active or self._served < readers:
            await self._left.park()

    async def _reader(self, stream: trio.abc.Stream) -> None:
        if self._active >= MAX_READERS:
            await trio.aclose_forcefully(stream)
            return
        self._active += 1
        gone = trio.Event()
        try:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, stream, gone)
                if await self._send(stream, gone):
                    if self._hold:
                        await gone.wait()
                    self._served += 1
                nursery.cancel_scope.cancel()
        finally:
            self._active -= 1
            self._left.unpark_all()

    async def _send(self, stream: trio.abc.Stream, gone: trio.Event) -> bool:
        """Send the feed to its end; False when the reader left before."""
        position = self._feed.start
        while True:
            data, position = self._feed.read(position)
            if data:
                try:
                    await stream.send_all(data)
                except trio.BrokenResourceError:
                    return False
            elif self._feed.ended:
                return True
            elif gone.is_set():
                return False
            else:
                await self._changed.park()

    async def _listen(self, stream: trio.abc.Stream, gone: trio.Event) -> None:
        receive = self._receiver()
        try:
            while data := await stream.receive_some(_MAX_INPUT):
                receive(bytes(data))
        except trio.BrokenResourceError:
            pass
        gone.set()
        self.wake()
