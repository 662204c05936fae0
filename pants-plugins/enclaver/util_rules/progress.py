"""Progress of a long stage. Pants shows a process's output when it ends; a kernel takes minutes.

The stage writes lines to a file in an append-only cache, the one place outside its sandbox it can write to, and a
thread here reads them as they come. Where the stage runs elsewhere, or not at all because its result is cached,
there is nothing to read and nothing is said.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from typing import Iterator, Set

from pants.engine.internals.native_engine import stdio_thread_get_destination, stdio_thread_set_destination

logger = logging.getLogger(__name__)

CACHE = "enclaver_progress"
FILE = "kernel.log"
_INTERVAL_SECONDS = 0.5
# Rules run in threads of the engine's.
_lock = threading.Lock()
_followed: Set[Path] = set()


@contextmanager
def followed(named_caches: str) -> Iterator[None]:
    """Log what is appended to the progress file while the context is open.

    Several images that wait for one kernel read one file: the first of them says what is in it.
    """
    path = Path(named_caches, CACHE, FILE)
    with _lock:
        first = path not in _followed
        _followed.add(path)
    if not first:
        yield
        return
    ended = threading.Event()
    # A thread of its own does not know which client's console Pants writes to for this request.
    destination = stdio_thread_get_destination()
    start = path.stat().st_size if path.is_file() else 0

    def follow() -> None:
        stdio_thread_set_destination(destination)
        position = start
        while not ended.wait(_INTERVAL_SECONDS):
            position = _log_new_lines(path, position)
        _log_new_lines(path, position)

    thread = threading.Thread(target=follow, name="enclaver-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with _lock:
            _followed.discard(path)


def _log_new_lines(path: Path, position: int) -> int:
    """Log the whole lines from a position on and return where the next one starts."""
    try:
        with path.open("rb") as file:
            # The caches may have been emptied meanwhile: a file that is shorter is another one.
            if file.seek(0, SEEK_END) < position:
                position = 0
            file.seek(position)
            new = file.read()
    except FileNotFoundError:
        return position
    whole, newline, _ = new.rpartition(b"\n")
    for line in whole.decode("utf-8", "replace").splitlines():
        logger.info(line)
    return position + len(whole) + len(newline)
