"""A build without Pants: a manifest whose app is a container image, to an EIF and an image that runs it.

It runs the stages that Pants runs, one after the other in a work folder, so that both come to the same registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from enclaver.build import image_fetch, image_lock, nitro_builder, nitro_image, ramdisks, shipped
from enclaver.build.default_kernel import default_kernel
from enclaver.build.image import Ramdisk, TreeRamdisk, image
from enclaver.build.image_lock import Source
from enclaver.build.ramdisks import DEBIAN, Fetching
from enclaver.build.registries import Registries
from enclaver.build.runner import Runner
from enclaver.build.runner_tools import Tools
from enclaver.build.target_image import target_image
from enclaver.core.eif.format import Architecture
from enclaver.core.eif.writer import Signs
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.app_source import AppKind
from enclaver.core.manifest.model import Manifest
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci import reference
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.image_lock import LockedImage
from enclaver.core.oci.reference import Reference
from enclaver.core.pcr.measure import Measurements
from enclaver.core.version import IMAGE_VERSION, VERSION
from enclaver.system import nitro_cli

#: The builders.
NATIVE: Final = "native"
NITRO_CLI: Final = "nitro-cli"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be built, and by what.

    Args:
        manifest: the manifest, checked.
        file: a file with its text, in the folder that its paths are relative to.
        lock: the lock of container images; None to take what the app's reference means now.
        architecture: the enclave's.
        source: where container images are looked for.
        builder: NATIVE or NITRO_CLI.
        kernel: a kernel's folder (for nitro-cli all of its blobs); None for the release's own.
        signer: who signs the image; None when nobody does.
        drop_xattrs: leave out what a ramdisk cannot hold.
        tools: the programs that go into the target image.
        nitro_cli_program: the program that builds, when that does; None for the one on PATH.
    """

    manifest: Manifest
    file: Path
    lock: Path | None
    architecture: Architecture = "x86_64"
    source: Source = Source.AUTO
    builder: str = NATIVE
    kernel: Path | None = None
    signer: Signs | None = None
    drop_xattrs: bool = False
    tools: Tools = field(default_factory=Tools)
    nitro_cli_program: Path | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """What was built: the app's reference and what it means, and the registers."""

    app: Reference
    meaning: LockedImage
    measurements: Measurements


def app_of(manifest: Manifest) -> Reference:
    """Return the container image that a manifest's app is.

    Raises:
        EnclaverError: it is a target, which only Pants can build.
    """
    app = manifest.sources.app
    if app.kind is not AppKind.IMAGE:
        raise EnclaverError(
            f"`sources.app` is {app.value}, a target, which only Pants can build",
            file=manifest.origin.source.file,
            cure="Build it with `./pants package`, or name a container image.",
        )
    return reference.parse(app.value)


def eif(request: Request, output: Path, work: Path, *, fetching: Fetching, registries: Registries) -> Built:
    """Build ``X.eif`` with ``X.pcrs.json`` and ``X.materials.json``: all three or none.

    Args:
        request: what is built.
        output: the path of ``X.eif``.
        work: a folder for all that is made on the way; the caller removes it.
        fetching: where everything but the app comes from.
        registries: where the app comes from.

    Raises:
        EnclaverError: something is missing, unfit or not what it has to be.
    """
    wanted = app_of(request.manifest)
    lock = request.lock or _lock_now(request, wanted, work, registries)
    meaning = lock_format.load(lock).get(wanted, request.architecture, file=str(lock))
    archive = work / "image.tar"
    image_fetch.fetch(
        lock=lock,
        image=str(wanted),
        architecture=request.architecture,
        output=archive,
        cache=fetching.downloads,
        registries=registries,
        source=request.source,
        progress=fetching.progress,
    )
    kernel = _kernel(request, fetching)
    boot = ramdisks.boot_ramdisk(request.architecture, kernel, work, fetching)
    fetching.progress("making the app ramdisk")
    with ramdisks.app_ramdisk(
        archive,
        request.manifest.sources.app.value,
        architecture=request.architecture,
        drop_xattrs=request.drop_xattrs,
        manifest=request.file,
        work=work,
        cache=fetching.cache / "layers",
    ) as app:
        fetching.progress("assembling the image")
        return Built(wanted, meaning, _assemble(request, kernel, boot, app, work, output))


def target(request: Request, eif: Path, output: Path, work: Path, *, fetching: Fetching) -> Digest:
    """Write the archive of the image that runs an enclave; return its digest.

    Args:
        request: what was built; its manifest names a target.
        eif: the enclave's image.
        output: the archive's path.
        work: the folder that ``eif`` was built in.
        fetching: where the runner's parts come from.

    Raises:
        EnclaverError: something is missing, unfit or not what it has to be.
    """
    kind = "runner-emulator" if request.tools.emulator else "runner"
    tree = ramdisks.debian_tree(f"{kind}.{DEBIAN[request.architecture]}", work, fetching)
    wheels, wheel_lock = ramdisks.runtime_wheels(fetching)
    sources = work / "sources"
    for package in (shipped.TOOL, shipped.RUNTIME):
        shipped.sources(package, sources)
    fetching.progress("making the target image")
    return target_image(
        eif=eif,
        manifest=request.file,
        runner=Runner(tree, wheels, wheel_lock, [sources]),
        tools=request.tools,
        names=[request.manifest.target] if request.manifest.target else [],
        output=output,
        work=work,
    )


def _lock_now(request: Request, wanted: Reference, work: Path, registries: Registries) -> Path:
    """Pin the app for this build alone, at what it means now."""
    found = image_lock.resolve({wanted: [request.architecture]}, source=request.source, registries=registries)
    path = work / lock_format.NAME
    path.write_bytes(lock_format.render(lock_format.ImageLock().updated(found)))
    return path


def _kernel(request: Request, fetching: Fetching) -> Path:
    if request.builder == NITRO_CLI:
        return nitro_cli.blobs_folder(request.kernel)
    if request.kernel is not None:
        return request.kernel
    return default_kernel(
        architecture=request.architecture,
        cache=fetching.cache,
        mirrors=fetching.mirrors,
        progress=fetching.progress,
    )


def _assemble(
    request: Request, kernel: Path, boot: Ramdisk, app: TreeRamdisk, work: Path, output: Path
) -> Measurements:
    manifest = request.manifest
    if request.builder == NITRO_CLI:
        container = work / "nitro.tar", work / "nitro.json"
        saved = app.saved(work / "app.cpio", work / "app.entries.json")
        nitro_image.nitro_image(
            boot=(boot.archive, boot.entries),
            app=(saved.archive, saved.entries),
            architecture=request.architecture,
            output=container,
        )
        return nitro_builder.build(
            image=container,
            program=request.nitro_cli_program,
            blobs=kernel,
            architecture=request.architecture,
            name=manifest.name,
            version=IMAGE_VERSION,
            memory_mb=manifest.defaults.memory_mb,
            cpus=manifest.defaults.cpu_count,
            signer=request.signer,
            output=output,
        )
    return image(
        kernel_dir=kernel,
        architecture=request.architecture,
        ramdisks=(boot, app),
        name=manifest.name,
        version=IMAGE_VERSION,
        tool_version=VERSION,
        memory_mb=manifest.defaults.memory_mb,
        cpus=manifest.defaults.cpu_count,
        signer=request.signer,
        output=output,
    )
