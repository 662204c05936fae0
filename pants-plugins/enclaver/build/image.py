"""The last stage: kernel and ramdisks in, an image with its measurements and materials out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from enclaver.core.eif import metadata as eif_metadata
from enclaver.core.eif.format import Architecture
from enclaver.core.eif.kernel_image import inspect
from enclaver.core.eif.writer import ImagePlan, Signs, write
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import files as kernel_files
from enclaver.core.pcr import report
from enclaver.core.pcr.measure import Measurements
from enclaver.core.rootfs.cpio_writer import Archive
from enclaver.core.rootfs.entry import Readable
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import (
    Input,
    RamdiskMaterial,
    entries_json,
    load_records,
    materials_json,
    save_tree,
)
from enclaver.system.atomic import atomic_output, atomic_outputs
from enclaver.system.writeback import writing_back

DEFAULT_MEMORY_MB = 4096
DEFAULT_CPUS = 2
_MEBIBYTE = 1 << 20
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Ramdisk:
    """One ramdisk: the name it has in reports, its archive, and the JSON that ``save_tree`` wrote with it."""

    name: str
    archive: Path
    entries: Path

    def loaded(self) -> _Loaded:
        """Return what an image takes. Raises EnclaverError, as ``load_records``."""
        inputs, records = load_records(self.archive, self.entries)
        return _Loaded(self.name, whole(self.archive), inputs, lambda: records)


@dataclass(frozen=True, slots=True)
class TreeRamdisk:
    """One ramdisk that was written nowhere: its name in reports, its tree, and what that is made of."""

    name: str
    tree: Tree
    inputs: Sequence[Input]

    def loaded(self) -> _Loaded:
        """Return what an image takes. Raises EnclaverError, as ``cpio_writer.Archive``."""
        archive = Archive(self.tree)
        return _Loaded(self.name, archive, self.inputs, lambda: entries_json(self.tree, archive.digests))

    def saved(self, archive: Path, entries: Path) -> Ramdisk:
        """Write it. Raises EnclaverError, as ``save_tree``."""
        save_tree(self.tree, self.inputs, archive, entries)
        return Ramdisk(self.name, archive, entries)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A ramdisk's content, and what is told of it: ``records`` once it has been read."""

    name: str
    content: Readable
    inputs: Sequence[Input]
    records: Callable[[], list[dict[str, Any]]]


def assemble(
    *,
    kernel: Path,
    cmdline: str,
    ramdisks: Sequence[Path | Readable],
    architecture: Architecture,
    metadata: Mapping[str, Any],
    memory_mb: int = DEFAULT_MEMORY_MB,
    cpus: int = DEFAULT_CPUS,
    output: Path,
) -> Measurements:
    """Write an image in one pass, measured, whole or not at all.

    Args:
        kernel: a bzImage (x86_64) or Image (aarch64).
        cmdline: the kernel's command line.
        ramdisks: at least one archive, in a file or made while it is read; the first is PCR1's.
        architecture: has to be the kernel's.
        metadata: as ``core.eif.metadata.metadata`` makes it.
        memory_mb: the header's default, in MiB; in no register.
        cpus: the header's default; in no register.
        output: the image's path.

    Raises:
        EnclaverError: an input is missing or unfit, or the output can't be written.
    """
    found = inspect(kernel).architecture
    if found != architecture:
        raise EnclaverError(
            f"is a kernel for {found}; the image is for {architecture}",
            file=str(kernel),
            cure="Give the kernel of the image's architecture, or the image the kernel's.",
        )
    contents = [whole(ramdisk) if isinstance(ramdisk, Path) else ramdisk for ramdisk in ramdisks]
    plan = _plan(kernel, cmdline, contents, architecture, metadata, memory_mb, cpus)
    with atomic_output(output) as out, writing_back(out):
        return write(plan, out).measurements


def image(
    *,
    kernel_dir: Path,
    architecture: Architecture,
    ramdisks: Sequence[Ramdisk | TreeRamdisk],
    name: str,
    version: str,
    tool_version: str,
    memory_mb: int = DEFAULT_MEMORY_MB,
    cpus: int = DEFAULT_CPUS,
    extras: Mapping[str, Any] | None = None,
    signer: Signs | None = None,
    output: Path,
) -> Measurements:
    """Write ``X.eif`` with ``X.pcrs.json`` and ``X.materials.json``: all three or none.

    Args:
        kernel_dir: nitro-cli's blobs folder: bzImage or Image, cmdline, and kernel.json if it was built here.
        architecture: has to be the kernel's.
        ramdisks: in the image's order; the first is PCR1's.
        name, version: the image's, in its metadata; in no register.
        tool_version: this project's, in the metadata.
        memory_mb, cpus: the header's defaults, in MiB and number; in no register.
        extras: free JSON values for the metadata.
        signer: who signs it, as ``build.signing.load`` finds; unsigned without one.
        output: the path of ``X.eif``.

    Raises:
        EnclaverError: an input is missing or unfit, it can't be signed, or an output can't be written.
    """
    kernel = kernel_files.read(kernel_dir, architecture)
    inputs = list(kernel.inputs)
    loaded = [ramdisk.loaded() for ramdisk in ramdisks]
    inputs += [given for ramdisk in loaded for given in ramdisk.inputs]
    if signer is not None:
        inputs.append(certificate_input(signer))
    document = eif_metadata.metadata(
        name=name,
        version=version,
        tool_version=tool_version,
        kernel_version=kernel.release,
        extras=extras or {},
    )
    contents = [ramdisk.content for ramdisk in loaded]
    plan = _plan(kernel.image, kernel.cmdline, contents, architecture, document, memory_mb, cpus)
    stem = output.with_suffix("") if output.suffix == ".eif" else output
    siblings = [stem.with_name(f"{stem.name}.{kind}.json") for kind in ("pcrs", "materials")]
    with atomic_outputs([output, *siblings]) as (eif_file, pcrs_file, materials_file):
        with writing_back(eif_file):
            written = write(plan, eif_file, digests=True, signer=signer)
        pcrs_file.write(report.render(written.measurements))
        # The CRC in the header is known last, so the file's own digest takes a second pass.
        eif_file.seek(0)
        eif_sha256 = file_sha256(eif_file)
        materials = materials_json(
            architecture=architecture,
            cmdline=kernel.cmdline,
            inputs=inputs,
            ramdisks=[
                RamdiskMaterial(ramdisk.name, digests.size, digests.sha256, digests.sha384, ramdisk.records())
                for ramdisk, digests in zip(loaded, written.ramdisks, strict=True)
            ],
            eif_sha256=eif_sha256,
            eif_size=written.size,
            measurements=written.measurements.registers(),
        )
        materials_file.write(materials)
    return written.measurements


def _plan(
    kernel: Path,
    cmdline: str,
    ramdisks: Sequence[Readable],
    architecture: Architecture,
    metadata: Mapping[str, Any],
    memory_mb: int,
    cpus: int,
) -> ImagePlan:
    for what, value, most in (("memory_mb", memory_mb, 1 << 40), ("cpus", cpus, 1 << 16)):
        if not 1 <= value <= most:
            raise EnclaverError(f"{what} is {value}; it is 1 to {most}")
    return ImagePlan(
        architecture=architecture,
        kernel=whole(kernel),
        cmdline=cmdline,
        ramdisks=ramdisks,
        metadata=eif_metadata.render(metadata),
        memory_bytes=memory_mb * _MEBIBYTE,
        cpus=cpus,
    )


def certificate_input(signer: Signs) -> Input:
    """Return the signing certificate as PCR8 measures it: its DER. The key is no input, and leaves no trace."""
    der = signer.certificate_der
    return Input("certificate", signer.subject, sha256(der).hexdigest(), len(der))


def file_sha256(file: BinaryIO) -> str:
    """Return the SHA-256 of an open file from where it stands, in hexadecimal."""
    digest = sha256()
    for chunk in iter(partial(file.read, _CHUNK), b""):
        digest.update(chunk)
    return digest.hexdigest()
