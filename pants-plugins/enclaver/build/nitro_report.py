"""What an image by nitro-cli is made of: its materials, of what was given to nitro-cli and of what the image holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from enclaver.build.image import certificate_input, file_sha256
from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import Image
from enclaver.core.eif.writer import Signs, Written
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel.files import KernelFiles
from enclaver.core.rootfs.entry import content_sha256
from enclaver.core.rootfs.regular import whole
from enclaver.core.trust import ramdisk_entries
from enclaver.core.trust.materials import Input, RamdiskMaterial, load_entries, materials_json

#: What brought entries that are not of the docker image.
ORIGIN: Final = "nitro-cli"
# nitro-cli's own names for the two ramdisks, and the folder of the second that the docker image's root is.
_RAMDISKS: Final = ("bootstrap", "customer")
_ROOT: Final = "rootfs"


def tool_inputs(program: Path, version: str, blobs: Path, names: Sequence[str]) -> list[Input]:
    """Return nitro-cli and what it takes from its blobs, besides the kernel, as inputs: each by its bytes.

    Raises:
        EnclaverError: one can't be read.
    """
    inputs = []
    for name, path in (("nitro-cli", program), *((name, blobs / name) for name in names)):
        content = whole(path)
        told = version if path == program else None
        inputs.append(Input("nitro-cli", name, content_sha256(content), content.size, told))
    return inputs


def materials(
    image: Image,
    written: Written,
    *,
    kernel: KernelFiles,
    tools: Sequence[Input],
    signer: Signs | None,
    description: Path,
    file: BinaryIO,
) -> bytes:
    """Render the materials of an image.

    Args:
        image: as nitro-cli has written it.
        written: as it was written once more, with its ramdisks' digests.
        kernel: the blobs' kernel.
        tools: nitro-cli and its other blobs.
        signer: who has signed it.
        description: of the docker image, as ``nitro_image`` writes it.
        file: the file that was written, to be read.

    Raises:
        EnclaverError: the image has other parts than an image by nitro-cli of these blobs, or its ramdisk has lost or
            changed what the docker image holds.
    """
    inputs, records = load_entries(description)
    kept = [section.data for section in image.sections if section.kind is SectionType.KERNEL]
    ramdisks = [section.data for section in image.sections if section.kind is SectionType.RAMDISK]
    if [content_sha256(content) for content in kept] != [kernel.inputs[0].sha256] or image.cmdline != kernel.cmdline:
        raise _other("its kernel or command line is not the blobs folder's")
    if len(ramdisks) != len(_RAMDISKS):
        raise _other(f"it has {len(ramdisks)} ramdisks, not {len(_RAMDISKS)}")
    origins = {f"{_ROOT}/{record['path']}": record["origin"] for record in records}
    bootstrap = ramdisk_entries.entries(ramdisks[0], origins={}, other=ORIGIN)
    customer = ramdisk_entries.entries(ramdisks[1], origins=origins, other=ORIGIN)
    ramdisk_entries.check_kept(customer, records, _ROOT)
    file.seek(0)
    return materials_json(
        architecture=image.header.architecture,
        cmdline=image.cmdline,
        inputs=[*kernel.inputs, *tools, *inputs, *([certificate_input(signer)] if signer else [])],
        ramdisks=[
            RamdiskMaterial(name, digests.size, digests.sha256, digests.sha384, entries)
            for name, digests, entries in zip(_RAMDISKS, written.ramdisks, (bootstrap, customer), strict=True)
        ],
        eif_sha256=file_sha256(file),
        eif_size=written.size,
        measurements=written.measurements.registers(),
    )


def _other(what: str) -> EnclaverError:
    return EnclaverError(
        f"nitro-cli has built another image than was asked for: {what}",
        cure="Build again while nothing changes the blobs folder.",
    )
