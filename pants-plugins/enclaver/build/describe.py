"""What an image file holds, as JSON values and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image, read
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent
from enclaver.system.atomic import atomic_folder

VERSION = 1


def describe(path: Path, *, extract: Path | None = None) -> dict[str, Any]:
    """Read and check an image; return what it says, and what is computed from it, as JSON values.

    Args:
        path: the image.
        extract: a folder, new or empty, that gets the sections: kernel, cmdline, ramdisk-0.cpio and so on,
            metadata.json, signature.cbor.

    Raises:
        EnclaverError: the image isn't sound, or the folder can't be made.
    """
    image = read(path)
    if extract is not None:
        _extract(image, extract)
    return {
        "version": VERSION,
        "size": image.size,
        "eif_version": 4,
        "architecture": image.header.architecture,
        "default_memory_bytes": image.header.memory_bytes,
        "default_cpus": image.header.cpus,
        "crc32": f"{image.header.crc:08x}",
        "sections": [
            {"type": section.kind.name.lower(), "offset": section.offset, "size": section.data.size}
            for section in image.sections
        ],
        "cmdline": image.cmdline,
        "measurements": image.measurements.registers(),
        "metadata": image.metadata,
        "signature": _signature(image),
    }


def _signature(image: Image) -> dict[str, Any] | None:
    if image.signature is None:
        return None
    problem = image.signature.problem(image.measurements.pcr0)
    return {
        "algorithm": image.signature.algorithm,
        "certificate_subject": image.signature.subject,
        "verified": problem is None,
        "problem": problem,
    }


def _extract(image: Image, folder: Path) -> None:
    names = {
        SectionType.KERNEL: "kernel",
        SectionType.CMDLINE: "cmdline",
        SectionType.METADATA: "metadata.json",
        SectionType.SIGNATURE: "signature.cbor",
    }
    ramdisks = 0
    with atomic_folder(folder) as temporary:
        for section in image.sections:
            name = names.get(section.kind, f"ramdisk-{ramdisks}.cpio")
            ramdisks += section.kind is SectionType.RAMDISK
            _copy(section.data, temporary / name)


def _copy(data: FileContent, path: Path) -> None:
    try:
        with path.open("xb") as out:
            for chunk in data.chunks():
                out.write(chunk)
    except FileExistsError as error:
        raise EnclaverError("two sections have one name", file=str(data.path), place=path.name) from error
