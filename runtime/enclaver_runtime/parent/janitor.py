"""What is done when this process is killed and can do nothing itself any more.

A shell waits at a pipe whose other end is this process's alone. A line tells it that all is well; the pipe's end
without one tells it that this process is gone, by ``kill -9`` or whatever else, and it does what it was left to do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# It outlives the signals that a terminal or a service manager sends to all processes of a run.
_WAIT = 'trap "" INT TERM HUP; read -r _ || exec "$@"'


@contextmanager
def if_killed(*command: str | Path) -> Iterator[None]:
    """Let ``command`` be run if this process ends before the ``with`` block does; it is not, however the block ends.

    Raises:
        OSError: no process could be made.
    """
    janitor = subprocess.Popen(
        ["/bin/sh", "-c", _WAIT, "janitor", *command],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # A janitor that somebody has killed is nobody to tell.
        with suppress(BrokenPipeError):
            janitor.communicate(b"well\n")
