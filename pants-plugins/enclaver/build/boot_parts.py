"""An image's kernel and ramdisks as the files that a boot loader takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image

# Linux looks for an archive at multiples of four, counted from the first one's start (init/initramfs.c); images of
# other tools may hold ramdisks of any length.
_ALIGNMENT: Final = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """The kernel, its command line, and all ramdisks in one file, in the image's order."""

    kernel: Path
    cmdline: str
    ramdisk: Path


def boot_parts(image: Image, folder: Path) -> Parts:
    """Write an image's parts into a folder that the caller removes.

    Raises:
        EnclaverError: the image can't be read any more.
        OSError: the folder, which it names, can't be written.
    """
    kernel, ramdisk = folder / "kernel", folder / "ramdisk"
    try:
        with kernel.open("wb") as kernel_file, ramdisk.open("wb") as ramdisk_file:
            files = {SectionType.KERNEL: kernel_file, SectionType.RAMDISK: ramdisk_file}
            for section in image.sections:
                if out := files.get(section.kind):
                    for chunk in section.data.chunks():
                        out.write(chunk)
                    if section.kind is SectionType.RAMDISK:
                        out.write(bytes(-section.data.size % _ALIGNMENT))
    except OSError as error:
        # A write's error names no file.
        raise OSError(error.errno, error.strerror, str(folder)) from error
    return Parts(kernel, image.cmdline, ramdisk)
