"""Layers that were unpacked before, by what they unpack to: a change in one layer costs that layer alone.

A kept layer is a layer without compression, and the list of its members with their contents' digests. Its diff_id is
checked like any other's, so one that was damaged or changed is noticed, and unpacked anew.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import member_list
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.tar_members import Member
from enclaver.core.rootfs.entry import FileContent
from enclaver.core.rootfs.regular import whole

_UNFINISHED: Final = ".layer-"


@dataclass(frozen=True, slots=True)
class LayerCache:
    """A folder of uncompressed layers, which any number of builds may use at once. Nothing ever leaves it by itself."""

    folder: Path

    def find(self, diff_id: Digest) -> tuple[FileContent, list[Member]] | None:
        """Return a layer's uncompressed tar file, unchecked, and its members; None when it was not kept, or is cut."""
        layer, listing = self._paths(diff_id)
        try:
            members = member_list.parse(listing.read_bytes())
            content = whole(layer)
        except (EnclaverError, OSError):
            return None
        if members is None or content.size < max((one.offset + one.size for one in members), default=0):
            return None
        return content, members

    def keep(self, diff_id: Digest, spool: Path, members: Sequence[Member]) -> None:
        """Keep a layer that was found to be what its diff_id says. What can't be kept is unpacked again some day."""
        layer, listing = self._paths(diff_id)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with self._replaced(layer) as new:
                try:
                    os.link(spool, new)
                except OSError:
                    # Another file system, or one without hard links.
                    shutil.copyfile(spool, new)
            with self._replaced(listing) as new:
                new.write_bytes(member_list.render(members))

    def drop(self, diff_id: Digest) -> None:
        """Remove a layer that turned out to be something else."""
        for path in self._paths(diff_id):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @contextmanager
    def _replaced(self, path: Path) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.folder) as beside, _locked(Path(beside)):
            new = Path(beside, "new")
            yield new
            os.replace(new, path)

    def _sweep(self) -> None:
        """Remove what builds that were killed have left unfinished: nobody holds it any more."""
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            with suppress(OSError), _locked(left):
                shutil.rmtree(left)

    def _paths(self, diff_id: Digest) -> tuple[Path, Path]:
        name = f"{diff_id.algorithm}-{diff_id.hex}"
        return self.folder / f"{name}.tar", self.folder / f"{name}.json"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, until the block or this process ends. Raises OSError when another does."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)
