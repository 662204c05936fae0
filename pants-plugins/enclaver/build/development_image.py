"""An image once more, with another kernel command line: what its runtime does then is in its measurement."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image, read
from enclaver.core.eif.writer import ImagePlan, write
from enclaver.core.errors import in_file
from enclaver.core.rootfs.entry import FileContent
from enclaver.system.atomic import atomic_output

# Of an image that has none; it is in no register.
_NO_METADATA: Final = b"{}"


def with_word(image: Image, word: str, output: Path) -> Image:
    """Write an image whose command line ends in one more word; return what was written, read back and checked.

    All else stays as it is, but for a signature: it is over the PCR0 of the image as it was, so it is left out.

    Raises:
        EnclaverError: the image has changed since it was read, the command line gets too long, or the output can't
            be written; it is then not there.
    """
    parts: dict[SectionType, list[FileContent]] = {}
    for section in image.sections:
        parts.setdefault(section.kind, []).append(section.data)
    (kernel,) = parts[SectionType.KERNEL]
    plan = ImagePlan(
        architecture=image.header.architecture,
        kernel=kernel,
        cmdline=f"{image.cmdline} {word}",
        ramdisks=parts[SectionType.RAMDISK],
        metadata=_bytes(parts.get(SectionType.METADATA, [])) or _NO_METADATA,
        memory_bytes=image.header.memory_bytes,
        cpus=image.header.cpus,
    )
    with in_file(image.path), atomic_output(output) as file:
        write(plan, file)
    return read(output)


def _bytes(contents: Iterable[FileContent]) -> bytes:
    return b"".join(bytes(chunk) for content in contents for chunk in content.chunks())
