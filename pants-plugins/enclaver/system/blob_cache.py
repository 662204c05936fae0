"""A folder of blobs by their digest: ``ALGORITHM/HEX``, and ``ALGORITHM/HEX.part`` for what came of one so far.

Several processes may use it at once, and any of them be killed: a blob takes its name in one rename, a partial one is
locked by whoever adds to it, and nothing is handed out that was not hashed whole just before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.system.partial import Incoming, locked


class BlobCache:
    """The folder; it is made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: str) -> Path | None:
        """Return where a blob lies, None when it is not there, or not what its name says. Raises EnclaverError."""
        path = self._path(digest)
        try:
            return path if _is_whole(path, digest) else None
        except OSError as error:
            raise self._refused(digest, error) from error

    def get(self, digest: str, limit: int, fill: Callable[[Incoming], None]) -> Path:
        """Return where a blob lies, and bring it there first if it has to be.

        Args:
            digest: ``sha256:HEX`` or ``sha512:HEX``, checked.
            limit: the most bytes it may have.
            fill: brings an unfinished blob to be whole; what it raises propagates, and what came stays.

        Raises:
            EnclaverError: the folder can't be used.
        """
        path = self._path(digest)
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _is_whole(path, digest):
                return path
            with locked(part) as file:
                # Whoever held the lock before may have finished it.
                if _is_whole(path, digest):
                    part.unlink()
                    return path
                incoming = Incoming(file, digest, limit)
                fill(incoming)
                if not incoming.is_whole:
                    raise EnclaverError(f"the digest of what came is {incoming.found}, not {digest}")
                file.flush()
                os.fsync(file.fileno())
                os.replace(part, path)
        except OSError as error:
            raise self._refused(digest, error) from error
        return path

    def _path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        return self._folder / algorithm / value

    def _refused(self, digest: str, error: OSError) -> EnclaverError:
        return EnclaverError(
            f"cannot store {digest}: {error.strerror or error}",
            file=str(error.filename or self._folder),
            cure="Make room, or name another cache folder; what was fetched so far is kept.",
        )


def _is_whole(path: Path, digest: str) -> bool:
    algorithm, _, value = digest.partition(":")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == value
    except FileNotFoundError:
        return False
