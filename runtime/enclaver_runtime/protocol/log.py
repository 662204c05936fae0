"""The app's log on vsock port 17001: a ring of the last 128 KiB of the app's stdout and stderr, as it came.

The enclave listens; a reader that connects gets what is in the ring, then what follows, and the end of the
stream when the app has ended and all was sent. There is no framing. The app never waits for a reader: one
that is slower than the app loses the oldest bytes that it has not read yet, and goes on at the oldest byte
that is still there, which may be in the middle of a line. Source: Enclaver 0.6.1, ``odyn/console.rs``.
"""

from __future__ import annotations

#: The vsock port in the enclave that the log is served on.
PORT = 17001

#: How much of the log is kept, in bytes.
CAPACITY = 128 * 1024


class LogRing:
    """The last ``capacity`` bytes of a stream; positions count from the stream's first byte.

    Holds ``capacity`` bytes from the start and never grows.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("a ring holds at least one byte")
        self._buffer = bytearray(capacity)
        self._end = 0

    @property
    def start(self) -> int:
        """The position of the oldest byte that is still there."""
        return max(0, self._end - len(self._buffer))

    @property
    def end(self) -> int:
        """The position after the newest byte: how many bytes were appended in all."""
        return self._end

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add ``data``; the oldest bytes give way."""
        capacity = len(self._buffer)
        view = memoryview(data)
        self._end += len(view)
        view = view[-capacity:]
        at = (self._end - len(view)) % capacity
        first = min(len(view), capacity - at)
        self._buffer[at : at + first] = view[:first]
        self._buffer[: len(view) - first] = view[first:]

    def read(self, position: int, limit: int) -> tuple[bytes, int]:
        """At most ``limit`` bytes from ``position`` on, and the position after them.

        A position that has been overwritten counts as :attr:`start`. No bytes: the reader has all there is.
        """
        position = max(position, self.start)
        size = min(limit, self._end - position)
        if size <= 0:
            return b"", position
        capacity = len(self._buffer)
        at = position % capacity
        first = bytes(self._buffer[at : min(at + size, capacity)])
        return first + bytes(self._buffer[: size - len(first)]), position + size
