"""Files that are on their way: locked by whoever adds to them, and known by the digest that they are to come to."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_CHUNK: Final = 1 << 20


@contextmanager
def locked(path: Path, *, waiting: Callable[[], object] | None = None) -> Iterator[io.BufferedRandom]:
    """A partial file, open and locked; the kernel lets go of the lock when its holder dies.

    ``waiting`` is called before another holder is waited for.
    """
    while True:
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is not None:
                    waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            # While this waited for the lock, its holder may have renamed or removed the file it waited for.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield file
                return


class Incoming:
    """A file that grows to what a digest says. What it has at first is taken for the beginning.

    Args:
        file: open for reading and writing.
        digest: ``sha256:HEX`` or ``sha512:HEX``.
        limit: the most bytes it may come to; when it has more, it begins anew.
    """

    def __init__(self, file: BinaryIO, digest: str, limit: int) -> None:
        self._file = file
        self.digest = digest
        self._limit = limit
        self._hasher = hashlib.new(self._algorithm)
        file.seek(0)
        while chunk := file.read(_CHUNK):
            self._hasher.update(chunk)
        self.size = file.tell()
        if self.size > limit:
            self.restart()

    @property
    def room(self) -> int:
        """How many bytes may still come."""
        return self._limit - self.size

    @property
    def found(self) -> str:
        """The digest of what is there."""
        return f"{self._algorithm}:{self._hasher.hexdigest()}"

    @property
    def is_whole(self) -> bool:
        """Whether what is there is what the digest says."""
        return self.found == self.digest

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        self._hasher.update(chunk)
        self._file.write(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Throw away what is there."""
        self._file.seek(0)
        self._file.truncate()
        self._hasher = hashlib.new(self._algorithm)
        self.size = 0

    @property
    def _algorithm(self) -> str:
        return self.digest.partition(":")[0]
