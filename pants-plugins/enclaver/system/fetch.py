"""Fetching pinned files: by digest, in parallel, resumable, from the first mirror that has the right bytes.

The cache folder holds ``SHA256`` (whole files) and ``SHA256.part`` (what came of one so far; locked by whoever
adds to it, so that concurrent runs share a download). A file is hashed whole before it is handed out, also when it
was in the cache.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.system import download
from enclaver.system.download import TransferError
from enclaver.system.partial import locked

PARALLEL: Final = 6
TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Item:
    """One file to fetch.

    ``label`` names it in messages; ``sha256`` is lower-case hex, ``size`` in bytes. ``places`` are asked in turn
    for a URL: each is a name for messages and a function that gives the URL or raises TransferError.
    """

    label: str
    sha256: str
    size: int
    places: tuple[tuple[str, Callable[[], str]], ...]


class _CancelledError(Exception):
    """Another item failed; this one stops at the next occasion."""


class Fetcher:
    """Fetches items into a cache folder; safe for several at once on the same folder.

    Args:
        cache: the cache folder; made when it is not there.
        timeout: seconds to wait for a connection and for each next byte.
        pauses: seconds before each further try of a place.
        progress: told one line for every finished item.
    """

    def __init__(
        self,
        cache: Path,
        *,
        timeout: float = TIMEOUT,
        pauses: Sequence[float] = download.PAUSES,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._cache = cache
        self._timeout = timeout
        self._pauses = tuple(pauses)
        self._progress = progress or (lambda _: None)
        self._stop = threading.Event()

    def fetch(self, items: Sequence[Item], output: Path, *, parallel: int = PARALLEL) -> list[Path]:
        """Every item's file as ``output/SHA256.deb``, in the order of the items.

        The files are hard links into the cache where the file system allows it, else copies: do not write to
        them. On an error nothing of it is in ``output`` that is not whole and verified, and what came stays in
        the cache for the next run. Raises EnclaverError, for the first item that no place has.
        """
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnclaverError(
                f"the folder cannot be made: {error.strerror}",
                file=str(error.filename),
                cure="Name a folder that you may write to.",
            ) from error
        self._stop.clear()
        done = 0
        # The largest first: a long download begun last would have the line to itself.
        order = sorted(items, key=lambda item: (-item.size, item.sha256))
        with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="fetch") as pool:
            futures = {pool.submit(self._one, item, output): item for item in order}
            pending = set(futures)
            try:
                while pending:
                    finished, pending = wait(pending, return_when=FIRST_EXCEPTION, timeout=0.5)
                    for future in sorted(finished, key=lambda f: futures[f].label):
                        how = future.result()
                        done += 1
                        self._progress(f"{done}/{len(items)} {futures[future].label} {how}")
            finally:
                # On an error or an interrupt the others end at their next chunk, and keep what they have.
                self._stop.set()
                for future in pending:
                    future.cancel()
        return [output / f"{item.sha256}.deb" for item in items]

    def _one(self, item: Item, output: Path) -> str:
        if self._stop.is_set():
            raise _CancelledError
        whole = self._cache / item.sha256
        try:
            how = "from the cache"
            if not _matches(whole, item):
                part = self._cache / f"{item.sha256}.part"
                with locked(part) as file:
                    # Whoever held the lock before may have finished it.
                    if not _matches(whole, item):
                        how = f"({item.size / 1e6:.1f} MB) from {self._download(item, file)}"
                        os.replace(part, whole)
                    else:
                        part.unlink()
            _place(whole, output / f"{item.sha256}.deb")
        except OSError as error:
            raise EnclaverError(
                f"cannot store {item.label}: {error.strerror or error}",
                file=str(error.filename or self._cache),
                cure="Make room, or name other folders; what was fetched so far is kept.",
            ) from error
        return how

    def _download(self, item: Item, part: io.BufferedRandom) -> str:
        """Bring ``part`` to be the item; returns the name of the place that had it."""
        reasons: list[str] = []
        for name, locate in item.places:

            def transfer(locate: Callable[[], str] = locate) -> None:
                self._transfer(item, locate(), part)

            try:
                download.persist(transfer, pauses=self._pauses, wait=self._stop.wait)
                return name
            except TransferError as error:
                if self._stop.is_set():
                    raise _CancelledError from error
                reasons.append(f"{name}: {error}")
        tried = "\n".join(f"    {reason}" for reason in reasons) or "    there is no mirror to ask"
        raise EnclaverError(
            f"{item.label} (sha256 {item.sha256}, {item.size} bytes) could not be fetched:\n{tried}",
            cure="Name a mirror that has it with --mirror, check the network, or make the lock again if the "
            "package has left the archive.",
        )

    def _transfer(self, item: Item, url: str, part: io.BufferedRandom) -> None:
        have = part.seek(0, os.SEEK_END)
        if have > item.size:
            part.truncate(0)
            have = 0
        if have < item.size:
            download.fetch(
                url, part, have=have, size=item.size, limit=item.size, timeout=self._timeout, stop=self._stop.is_set
            )
        part.flush()
        part.seek(0)
        if hashlib.file_digest(part, "sha256").hexdigest() != item.sha256:
            part.truncate(0)
            # A wrong beginning may be the fault of whoever served it before, so this place gets another try.
            raise TransferError("it serves other bytes: the sha256 differs", again=have > 0)


def _matches(path: Path, item: Item) -> bool:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return size == item.size and hashlib.file_digest(file, "sha256").hexdigest() == item.sha256
    except FileNotFoundError:
        return False


def _place(source: Path, target: Path) -> None:
    """Put a verified file into its place at once: a link where possible, else a copy."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        beside = Path(folder, target.name)
        try:
            os.link(source, beside)
        except OSError:
            # Another file system, or one without hard links.
            shutil.copyfile(source, beside)
        os.replace(beside, target)
