"""The app's status, told to every reader: the one of the moment, then every change; and what readers ask for."""

from __future__ import annotations

from collections.abc import Callable

import trio

from enclaver_runtime.enclave.broadcast import Broadcast
from enclaver_runtime.protocol.status import Running, Status, format_line, is_final
from enclaver_runtime.protocol.stop import StopDecoder


class StatusServer:
    """Holds the status and serves it; begins with Running, also while the app is yet to be started.

    Args:
        stop: called with the signal when a reader asks that the app ends.
    """

    def __init__(self, *, stop: Callable[[int], object] = lambda _: None) -> None:
        self._feed = _StatusFeed()
        self._stop = stop
        self._broadcast = Broadcast(self._feed, hold=True, receiver=self._receiver)

    def publish(self, status: Status) -> None:
        """Change the status; after a final one nothing else is taken, the first word stands."""
        self._feed.add(status)
        self._broadcast.wake()

    async def serve(
        self,
        listener: trio.abc.Listener[trio.abc.Stream],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; see :meth:`Broadcast.serve`."""
        await self._broadcast.serve(listener, task_status=task_status)

    def _receiver(self) -> Callable[[bytes], None]:
        decoder = StopDecoder()

        def receive(data: bytes) -> None:
            for number in decoder.receive_data(data):
                self._stop(number)

        return receive

    async def acknowledged(self) -> None:
        """Wait until a reader has read the final status and hung up, and no other is connected."""
        await self._broadcast.settled(readers=1)


class _StatusFeed:
    """The statuses so far; a position is a count of them."""

    def __init__(self) -> None:
        self._all: list[Status] = [Running()]

    @property
    def start(self) -> int:
        return len(self._all) - 1

    @property
    def ended(self) -> bool:
        return is_final(self._all[-1])

    def add(self, status: Status) -> None:
        if not self.ended:
            self._all.append(status)

    def read(self, position: int) -> tuple[bytes, int]:
        return b"".join(map(format_line, self._all[position:])), len(self._all)
