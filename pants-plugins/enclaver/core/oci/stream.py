"""What a tar file is read from: bytes in order, from a file or from what decompresses one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent


class Stream(Protocol):
    """Bytes in order; ``offset`` is how many of them were taken or skipped."""

    offset: int

    def take(self, size: int) -> bytes:
        """Return the next bytes; fewer, or none, at the end."""

    def skip(self, size: int) -> None:
        """Leave bytes out. Raises EnclaverError when there are fewer."""


class Chunks:
    """A stream of chunks. All of them pass through it, also what is skipped: whoever makes them may hash them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.offset = 0
        self._chunks = chunks
        self._chunk = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes, as Stream.take does."""
        end = self._at + size
        if end <= len(self._chunk):
            found = self._chunk[self._at : end]
            self._at = end
        else:
            found = self._across(size)
        self.offset += len(found)
        return found

    def skip(self, size: int) -> None:
        """Leave bytes out, as Stream.skip does."""
        left = size
        while left > len(self._chunk) - self._at:
            left -= len(self._chunk) - self._at
            if not self._next():
                raise EnclaverError(f"the tar file ends {left} bytes too early")
        self._at += left
        self.offset += size

    def drain(self) -> Iterator[bytes]:
        """Yield all that is left."""
        yield self._chunk[self._at :]
        while self._next():
            yield self._chunk

    def _across(self, size: int) -> bytes:
        parts = [self._chunk[self._at :]]
        left = size - len(parts[0])
        self._at = len(self._chunk)
        while left and self._next():
            parts.append(self._chunk[:left])
            self._at = len(parts[-1])
            left -= self._at
        return b"".join(parts)

    def _next(self) -> bool:
        chunk = next(self._chunks, None)
        self._chunk, self._at = chunk or b"", 0
        return chunk is not None


class Slice:
    """A stream of a file's bytes, of which only those that are taken are read."""

    def __init__(self, content: FileContent) -> None:
        self.offset = 0
        self._content = content

    def take(self, size: int) -> bytes:
        """Return the next bytes, as Stream.take does."""
        start = self._content.offset + self.offset
        part = FileContent(self._content.path, start, min(size, self._content.size - self.offset))
        found = b"".join(bytes(chunk) for chunk in part.chunks())
        self.offset += len(found)
        return found

    def skip(self, size: int) -> None:
        """Leave bytes out, as Stream.skip does."""
        if missing := max(0, size - (self._content.size - self.offset)):
            raise EnclaverError(f"the tar file ends {missing} bytes too early")
        self.offset += size
