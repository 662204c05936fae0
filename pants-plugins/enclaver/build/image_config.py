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
        OSError: the temporary folder, which it names, has no room for a copy.
    """
    ramdisks = [section.data for section in image.sections if section.kind is SectionType.RAMDISK]
    try:
        # A file without a name, so that whatever kills this process leaves nothing behind.
        with tempfile.TemporaryFile() as copy:
            # An archive's paddings count from its own start, which in an image lies anywhere.
            for chunk in ramdisks[-1].chunks():
                copy.write(chunk)
            copy.flush()
            tree = cpio.read(Path(f"/proc/self/fd/{copy.fileno()}"))
            entry = tree.get(runtime_config.PATH)
            if entry is None:
                return None
            return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())
    except OSError as error:
        # A write's error names no file, and one without a name would have none to name.
        raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
