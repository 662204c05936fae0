"""The builder that is ``nitro-cli``: a docker image in, an image with its measurements and materials out.

What is written is nitro-cli's image, section by section. Only what no register measures is ours: the header's defaults
for memory and processors, which are the manifest's, and a signature, where one is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from enclaver.build import nitro_report
from enclaver.build.image import DEFAULT_CPUS, DEFAULT_MEMORY_MB
from enclaver.build.image_plan import plan_of
from enclaver.core.eif import reader, writer
from enclaver.core.eif.format import Architecture
from enclaver.core.eif.reader import Image
from enclaver.core.eif.writer import Signs
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import files as kernel_files
from enclaver.core.pcr import report
from enclaver.core.pcr.measure import Measurements
from enclaver.system import nitro_cli
from enclaver.system.atomic import atomic_outputs
from enclaver.system.daemon_loan import lent
from enclaver.system.scratch import scratch_folder


def build(
    *,
    image: tuple[Path, Path],
    program: Path | None,
    blobs: Path | None,
    architecture: Architecture,
    name: str,
    version: str,
    memory_mb: int = DEFAULT_MEMORY_MB,
    cpus: int = DEFAULT_CPUS,
    signer: Signs | None = None,
    output: Path,
) -> Measurements:
    """Write ``X.eif`` with ``X.pcrs.json`` and ``X.materials.json``: all three or none.

    The daemon has the docker image while nitro-cli works on it, under a name that nobody else uses.

    Args:
        image: archive and description, as ``nitro_image`` writes them.
        program: nitro-cli, else the one on PATH.
        blobs: the folder of its blobs, else NITRO_CLI_BLOBS, else where AWS's package puts them.
        architecture: has to be this machine's.
        name, version: the image's, in its metadata; in no register.
        memory_mb, cpus: the header's defaults, in MiB and number; in no register.
        signer: who signs it, as ``build.signing.load`` finds; unsigned without one.
        output: the path of ``X.eif``.

    Raises:
        EnclaverError: nitro-cli, its blobs or the daemon are missing, nitro-cli failed, what it has built is not what
            it says or not what it was given, it can't be signed, or an output can't be written.
    """
    cli = nitro_cli.find(program)
    folder = nitro_cli.blobs_folder(blobs)
    names = nitro_cli.check_blobs(folder, architecture)
    kernel = kernel_files.read(folder, architecture)
    tools = nitro_report.tool_inputs(cli, nitro_cli.version(cli), folder, names)
    archive, description = image
    with scratch_folder(output.absolute().parent, prefix=".nitro-cli-") as scratch:
        with lent(archive) as loan:
            eif, measured = nitro_cli.build_enclave(
                cli,
                docker_image=loan.name,
                blobs=folder,
                name=name,
                version=version,
                scratch=scratch,
                environment=loan.environment,
            )
        built = _checked(eif, measured)
        stem = output.with_suffix("") if output.suffix == ".eif" else output
        siblings = [stem.with_name(f"{stem.name}.{kind}.json") for kind in ("pcrs", "materials")]
        with atomic_outputs([output, *siblings]) as (eif_file, pcrs_file, materials_file):
            plan = replace(plan_of(built), memory_bytes=memory_mb << 20, cpus=cpus)
            written = writer.write(plan, eif_file, digests=True, signer=signer)
            if replace(written.measurements, pcr8=None) != built.measurements:
                raise EnclaverError("has changed since nitro-cli wrote it", file=str(eif), cure="Build it again.")
            pcrs_file.write(report.render(written.measurements))
            materials_file.write(
                nitro_report.materials(
                    built, written, kernel=kernel, tools=tools, signer=signer, description=description, file=eif_file
                )
            )
    return written.measurements


def _checked(eif: Path, measured: Path) -> Image:
    """Read the image and hold what nitro-cli says it measures against what it does measure."""
    said = report.load(measured)
    built = reader.read(eif)
    if said != built.measurements:
        ours = built.measurements.registers()
        wrong = [name for name, value in said.registers().items() if ours.get(name) != value]
        raise EnclaverError(
            f"nitro-cli says other measurements than those of the image that it has written: {', '.join(wrong)} differ",
            cure="Build again while nothing writes to the output's folder; if it stays, don't trust this nitro-cli.",
        )
    return built
