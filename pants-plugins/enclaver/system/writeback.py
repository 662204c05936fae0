"""The disk at work while a large file is still being written.

What is to survive a crash is synced before it takes its place. Left to the end, that takes as long as writing all of it
does; begun at once, what is left at the end is next to nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO, Final

_PAUSE_SECONDS: Final = 0.1


@contextmanager
def writing_back(file: BinaryIO) -> Iterator[None]:
    """Sync a file's data again and again while the block writes it. The caller syncs what is left.

    Raises:
        OSError: the disk has failed, which the kernel tells only once: the caller's own sync would not.
    """
    done = threading.Event()

    def sync() -> None:
        while not done.wait(_PAUSE_SECONDS):
            os.fdatasync(file.fileno())

    with ThreadPoolExecutor(1) as pool:
        syncing = pool.submit(sync)
        try:
            yield
        finally:
            done.set()
        syncing.result()
