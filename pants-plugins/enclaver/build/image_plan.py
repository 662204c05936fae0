"""A finished image as the plan of another one, which differs in what its maker changes."""

from __future__ import annotations

from typing import Final

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image
from enclaver.core.eif.writer import ImagePlan
from enclaver.core.rootfs.entry import FileContent

# Of an image that has none; it is in no register.
_NO_METADATA: Final = b"{}"


def plan_of(image: Image) -> ImagePlan:
    """Return the plan by which ``writer.write`` writes an image once more, but for a signature: all bytes are its own.

    Raises:
        EnclaverError: the file has changed since it was read.
    """
    parts: dict[SectionType, list[FileContent]] = {}
    for section in image.sections:
        parts.setdefault(section.kind, []).append(section.data)
    (kernel,) = parts[SectionType.KERNEL]
    metadata = b"".join(content.head(content.size) for content in parts.get(SectionType.METADATA, ()))
    return ImagePlan(
        architecture=image.header.architecture,
        kernel=kernel,
        cmdline=image.cmdline,
        ramdisks=parts[SectionType.RAMDISK],
        metadata=metadata or _NO_METADATA,
        memory_bytes=image.header.memory_bytes,
        cpus=image.header.cpus,
    )
