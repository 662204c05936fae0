"""A working folder that goes away with its user, even one killed by SIGKILL.

A small watcher process waits for the end of a pipe whose other end only this process has. However this one ends,
the pipe closes, and the watcher removes the folder.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError

# More than once: what still wrote there may take a moment to die, and a folder may forbid its own removal.
_WATCHER: Final = (
    'cat; for round in 1 2 3 4 5 6; do rm -rf -- "$1" && exit 0; chmod -R u+rwx -- "$1"; sleep 0.5; done; exit 1'
)


@contextmanager
def scratch_folder(parent: Path, *, prefix: str) -> Iterator[Path]:
    """Make a folder in ``parent``, closed to other users; remove it, and all that came to lie in it.

    Raises:
        EnclaverError: it can't be made, or at the end not be removed.
    """
    folder = parent.absolute() / f"{prefix}{secrets.token_hex(6)}"
    # The watcher is there first, so that no moment is without it; its own session spares it signals meant for us.
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHER, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise EnclaverError(
                f"cannot make a working folder: {error.strerror}",
                file=str(parent),
                cure="Check that it exists, that you may write there and that there is room.",
            ) from error
        yield folder
    finally:
        _, _ = watcher.communicate()
    if watcher.returncode != 0:
        raise EnclaverError(
            "the working folder can't be removed", file=str(folder), cure="Remove it by hand; nothing uses it."
        )
