"""One pass over large contents that feeds several consumers at once, in constant memory.

A reader fills buffers from a small fixed pool and hands each to every sink that wants it; a sink is a thread
that takes them in order. A buffer goes back to the pool when its last sink is done, so the slowest sink sets
the pace and memory stays at the pool's size. hashlib, zlib and file writes release the interpreter's lock for
buffers of this size: that is where the parallelism comes from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent, InlineContent, Readable

BUFFER_SIZE = 1 << 20
BUFFERS = 12
MAX_SINKS = 8

Consume = Callable[[memoryview], object]


@dataclass(slots=True)
class _Loan:
    """A chunk on its way through the sinks; ``buffer`` is what goes back to the pool after the last one."""

    chunk: memoryview
    left: int
    buffer: memoryview | None


class Sink:
    """A consumer with a thread of its own; made by ``Fanout.sink``."""

    def __init__(self, consume: Consume, give_back: Callable[[_Loan], None]) -> None:
        self._consume = consume
        self._give_back = give_back
        self._queue: SimpleQueue[_Loan | Callable[[], object] | None] = SimpleQueue()
        self.failed = False

    def call(self, action: Callable[[], object]) -> None:
        """Have the sink's thread call something once it is done with all it was fed so far."""
        self._queue.put(action)

    def feed(self, loan: _Loan | None) -> None:
        """Queue a chunk; None ends the thread."""
        self._queue.put(loan)

    def run(self) -> None:
        """Consume until the end. After an error the rest is given back unread and the error raised."""
        try:
            while (item := self._queue.get()) is not None:
                if not isinstance(item, _Loan):
                    item()
                    continue
                try:
                    self._consume(item.chunk)
                finally:
                    self._give_back(item)
        except BaseException:
            self.failed = True
            while (item := self._queue.get()) is not None:
                if isinstance(item, _Loan):
                    self._give_back(item)
            raise


class Fanout:
    """The reader and its sinks. Leaving the ``with`` block waits for them and raises their first error."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MAX_SINKS)
        self._sinks: list[Sink] = []
        self._futures: list[Future[None]] = []
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._unused = BUFFERS  # Buffers are made when first needed: a small image needs one or two.
        self._lock = threading.Lock()

    def __enter__(self) -> Fanout:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for sink in self._sinks:
            sink.feed(None)
        self._pool.shutdown()
        if error is None:
            for future in self._futures:
                future.result()

    def sink(self, consume: Consume) -> Sink:
        """Start a sink; at most MAX_SINKS.

        Args:
            consume: called with each chunk, in order, in the sink's thread; must not keep the chunk.
        """
        sink = Sink(consume, self._give_back)
        self._sinks.append(sink)
        self._futures.append(self._pool.submit(sink.run))
        return sink

    def feed(self, content: Readable, sinks: Sequence[Sink]) -> None:
        """Read a content once and hand it to the sinks.

        Raises:
            EnclaverError: it can't be read, or is shorter than it said.
        """
        if isinstance(content, InlineContent):
            if content.data:
                self._hand_out(memoryview(content.data), None, sinks)
            return
        left = content.size
        with content.opened() as source:
            while left and not any(sink.failed for sink in self._sinks):
                buffer = self._take_buffer()
                count = source.readinto(buffer[: min(left, BUFFER_SIZE)])
                if not count:
                    raise EnclaverError(
                        f"ends {left} bytes before its end: it changed while it was read",
                        file=str(content.path) if isinstance(content, FileContent) else None,
                        cure="Build again while nothing writes to it.",
                    )
                self._hand_out(buffer[:count], buffer, sinks)
                left -= count

    def _hand_out(self, chunk: memoryview, buffer: memoryview | None, sinks: Sequence[Sink]) -> None:
        loan = _Loan(chunk, len(sinks), buffer)
        for sink in sinks:
            sink.feed(loan)

    def _take_buffer(self) -> memoryview:
        if self._unused and self._free.empty():
            self._unused -= 1
            return memoryview(bytearray(BUFFER_SIZE))
        return self._free.get()

    def _give_back(self, loan: _Loan) -> None:
        with self._lock:
            loan.left -= 1
            done = not loan.left
        if done and loan.buffer is not None:
            self._free.put(loan.buffer)
