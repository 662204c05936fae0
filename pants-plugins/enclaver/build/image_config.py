"""What a finished image obeys: the runtime.json in it, for the parent that runs it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image
from enclaver.core.manifest import runtime_config
from enclaver.core.rootfs import cpio


def obeyed_config(image: Image) -> bytes | None:
    """Return an image's runtime.json, or None when it has none: an image that another tool built.

    Raises:
        EnclaverError: the image's last ramdisk is no archive that this project writes or reads.
    """
    ramdisks = [section.data for section in image.sections if section.kind is SectionType.RAMDISK]
    with tempfile.TemporaryDirectory(prefix="enclaver-") as folder:
        # An archive's paddings count from its own start, which in an image lies anywhere.
        copy = Path(folder, "ramdisk")
        with copy.open("wb") as out:
            for chunk in ramdisks[-1].chunks():
                out.write(chunk)
        tree = cpio.read(copy)
        entry = tree.get(runtime_config.PATH)
        if entry is None:
            return None
        return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())
