"""A folder for one run's sockets, removed at its end, also if the run is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enclaver_runtime.parent.janitor import if_killed

_PREFIX = "enclaver-run-"
# A folder this young may belong to a run that has not locked it yet.
_SETTLED = 30.0


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a private folder (0700) under ``parent`` (default: the system's temporary folder) and remove it.

    A run that is killed leaves that to its janitor. Should that one be killed too, the next run does it: the
    folder is locked (flock) as long as its run lives, and folders of the same user that nobody holds a lock on
    are removed first.

    Raises:
        OSError: the folder cannot be made.
    """
    where = parent or Path(tempfile.gettempdir())
    _remove_left_behind(where)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with if_killed("rm", "-rf", "--", folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_left_behind(where: Path) -> None:
    for folder in where.glob(f"{_PREFIX}*"):
        try:
            status = folder.lstat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _SETTLED:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
