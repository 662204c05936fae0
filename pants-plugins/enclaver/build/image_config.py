"""What a finished image obeys: the runtime.json in it, for the parent that runs it."""

from __future__ import annotations

from typing import Final

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image
from enclaver.core.manifest import runtime_config
from enclaver.core.rootfs import cpio_scan

# In the native builder's image the ramdisk is the enclave's root; AWS's init makes the ramdisk's /rootfs the root.
# There an app's own files lie a /rootfs lower, so that none of them is taken for this one.
_PLACES: Final = (runtime_config.PATH, f"rootfs/{runtime_config.PATH}")
# Bytes; no runtime takes more than 1 MiB.
_MOST: Final = 1 << 24


def obeyed_config(image: Image) -> bytes | None:
    """Return an image's runtime.json, or None when it has none: an image that another tool built.

    Raises:
        EnclaverError: the image's last ramdisk is no archive, a compressed one for example.
    """
    ramdisks = [section.data for section in image.sections if section.kind is SectionType.RAMDISK]
    entries = cpio_scan.unpacked(ramdisks[-1])
    for place in _PLACES:
        found = entries.get(place)
        if found is not None and found.is_file:
            return found.content.head(_MOST)
    return None
