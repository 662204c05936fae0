"""Layers that were unpacked before, by what they unpack to: a change in one layer costs that layer alone.

A kept layer is nothing but a layer without compression. Its diff_id is checked like any other's, so one that was
damaged or changed is noticed, and unpacked anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.core.oci.digest import Digest
from enclaver.core.rootfs.entry import FileContent
from enclaver.core.rootfs.regular import whole


@dataclass(frozen=True, slots=True)
class LayerCache:
    """A folder of uncompressed layers, which any number of builds may use at once. Nothing ever leaves it by itself."""

    folder: Path

    def find(self, diff_id: Digest) -> FileContent | None:
        """Return a layer's uncompressed tar file, unchecked; None when it was not kept, or can't be read."""
        try:
            return whole(self._path(diff_id))
        except EnclaverError:
            return None

    def keep(self, diff_id: Digest, spool: Path) -> None:
        """Keep a layer that was found to be what its diff_id says. What can't be kept is unpacked again some day."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".layer-", dir=self.folder) as beside:
                new = Path(beside, "layer")
                try:
                    os.link(spool, new)
                except OSError:
                    # Another file system, or one without hard links.
                    shutil.copyfile(spool, new)
                os.replace(new, self._path(diff_id))

    def drop(self, diff_id: Digest) -> None:
        """Remove a layer that turned out to be something else."""
        with suppress(OSError):
            self._path(diff_id).unlink(missing_ok=True)

    def _path(self, diff_id: Digest) -> Path:
        return self.folder / f"{diff_id.algorithm}-{diff_id.hex}.tar"
