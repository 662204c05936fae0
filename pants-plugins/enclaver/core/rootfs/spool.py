"""A spool: unpacked content lies one piece after the other in a file, so that memory does not grow with an archive."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import CHUNK, FileContent

# A ramdisk and what is unpacked from it lie in an enclave's memory together. More than this is a bomb or a mistake, and
# would fill the disk before anybody saw which.
LIMIT: Final = 16 << 30


class Spool:
    """A growing file that contents are slices of. It is the caller's file: whoever names it removes it."""

    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        # Unbuffered: a reader opens the file by its name, so what was written must be there.
        self._file = path.open("wb", buffering=0)
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, source: IO[bytes], size: int) -> FileContent:
        """Append a stream to its end and return where it lies.

        Args:
            source: the stream; what reading it raises propagates.
            size: how many bytes it has, as its archive claims.

        Raises:
            EnclaverError: it has fewer or more, the spool would grow beyond its limit, or can't be written.
        """
        offset = self._end
        self._check(size)
        left = size
        while left and (chunk := source.read(min(CHUNK, left))):
            self._write(chunk)
            left -= len(chunk)
        if left or source.read(1):
            raise EnclaverError(f"holds {'fewer' if left else 'more'} than the {size} bytes that the archive claims")
        return FileContent(self._path, offset, size)

    def append(self, chunk: bytes) -> None:
        """Append bytes of a stream whose length nobody knows yet; ``whole`` says where they lie.

        Raises:
            EnclaverError: the spool would grow beyond its limit, or can't be written.
        """
        self._check(len(chunk))
        self._write(chunk)

    def whole(self) -> FileContent:
        """Return all that was added so far as one content."""
        return FileContent(self._path, 0, self._end)

    def _check(self, size: int) -> None:
        if size > self._limit - self._end:
            raise EnclaverError(
                f"what is unpacked is more than {self._limit >> 20} MiB in all",
                cure="Leave out what the enclave does not need, or let the app fetch it when it runs.",
            )

    def _write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise EnclaverError(
                f"cannot write: {error.strerror}", file=str(self._path.parent), cure="Make room there."
            ) from error
        self._end += len(chunk)
