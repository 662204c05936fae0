"""The app's log on its way from the enclave to a sink, which may be slower than the app.

What an app says last matters most, and an enclave does not wait long with it. So the log is taken as it comes, also
while the sink takes nothing, and waits here. Only a sink that is a whole :data:`CAPACITY` behind loses bytes, the
oldest ones, as a reader that slow does in the enclave.
"""

from __future__ import annotations

import trio

from enclaver_runtime.parent.reader import Connect, connect_patiently, receive
from enclaver_runtime.parent.sink import Sink
from enclaver_runtime.protocol.log import LogRing

#: How much of the log may wait for the sink, in bytes.
CAPACITY = 1 << 20

# What the sink gets at once.
_WRITE = 64 * 1024


class LogCopy:
    """Copies one log, once; :meth:`read` and :meth:`write` are its two tasks."""

    def __init__(self, sink: Sink, *, capacity: int = CAPACITY) -> None:
        self._sink = sink
        self._ring = LogRing(capacity)
        self._changed = trio.lowlevel.ParkingLot()
        self._ended = False
        #: When something came last, or the log was opened; trio's clock.
        self.last_read = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether nothing is read any more."""
        return self._ended

    async def read(self, connect: Connect, port: int) -> None:
        """Take the log on ``port`` until the enclave closes it.

        It is opened once: a second reader would get the lines in the enclave's ring again.
        """
        async with await connect_patiently(connect, port) as stream:
            self.last_read = trio.current_time()
            # What comes after the end was decided is nobody's: a log that goes on must not hold up the writer.
            while (data := await receive(stream)) and not self._ended:
                self._ring.append(data)
                self.last_read = trio.current_time()
                self._changed.unpark_all()
        self.end()

    async def write(self) -> None:
        """Give the sink what there is, in order, until the log has ended and the sink has all of it.

        What the sink raises propagates.
        """
        position = 0
        while True:
            data, position = self._ring.read(position, _WRITE)
            if data:
                await self._sink(data)
            elif self._ended:
                return
            else:
                await self._changed.park()

    def end(self) -> None:
        """Wait for nothing more from the enclave; what is here is still written."""
        self._ended = True
        self._changed.unpark_all()

    async def wait_ended(self) -> None:
        """Wait until nothing is read any more."""
        while not self._ended:
            await self._changed.park()
