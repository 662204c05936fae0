"""Opening input files: regular ones, at once, or with an error that says why not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading; yields it and its size in bytes.

    Raises:
        EnclaverError: it can't be opened or read, or is a folder, a fifo or a device.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise EnclaverError("is not a regular file", file=str(path))
            yield file, status.st_size
    except OSError as error:
        raise EnclaverError(f"cannot read: {error.strerror}", file=str(path)) from error


def whole(path: Path) -> FileContent:
    """Return a regular file as a content. Raises EnclaverError, as ``open_regular``."""
    with open_regular(path) as (_, size):
        return FileContent(path, 0, size)


def _without_waiting(path: str, flags: int) -> int:
    # Opening a fifo would wait for a writer; it is refused instead.
    return os.open(path, flags | os.O_NONBLOCK)
