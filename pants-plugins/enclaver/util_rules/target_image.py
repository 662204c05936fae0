"""The target image of an enclave: an archive that runs it, of Debian's Python, our command, and what was built."""

from __future__ import annotations

import logging
from typing import Dict

from pants.backend.python.subsystems.repos import PythonRepos
from pants.engine.fs import CreateDigest, Digest, MergeDigests

from enclaver.engine import create_digest, merge_digests
from enclaver.subsystem import EnclaverSubsystem
from enclaver.util_rules import references, sources, stages
from enclaver.util_rules.image import DEBIAN, ImageParts, shipped_lock, shipped_wheel_lock
from enclaver.util_rules.programs import named_program
from enclaver.util_rules.tool import EnclaveBuildError, EnclaverTool, file_contents, run_stages

logger = logging.getLogger(__name__)

_EMULATED = "x86_64"


async def target_image(
    tool: EnclaverTool,
    parts: ImageParts,
    eif: Digest,
    name: str,
    emulator: bool,
    programs: Dict[str, Digest],
    subsystem: EnclaverSubsystem,
    repos: PythonRepos,
) -> Digest:
    """Make the target image; the digest holds ``OUTPUT.image.tar``.

    Args:
        parts: what the enclave was made of.
        eif: the enclave's image, with what lies beside it.
        name: the image's reference: the manifest's ``target``.
        emulator: whether QEMU goes along.
        programs: what ``target_programs`` has found.

    Raises:
        EnclaveBuildError: a program is unfit for the base.
    """
    runner = "runner-emulator" if emulator else "runner"
    lock = await shipped_lock(f"{runner}.{DEBIAN[parts.architecture]}.lock.json", f"the runner of {parts.name}")
    wheel_lock = await shipped_wheel_lock()
    packages, wheels = await run_stages(
        tool,
        (
            stages.fetch_debian(lock.digest, lock.name, tuple(subsystem.mirrors)),
            stages.fetch_wheels(wheel_lock, repos.indexes, repos.find_links),
        ),
    )
    (tree,) = await run_stages(tool, (stages.debian_tree((lock.digest, packages), lock.name),))
    code = {
        path: data for package in ("enclaver", "enclaver_runtime") for path, data in sources.folder(package).items()
    }
    command = await create_digest(CreateDigest(file_contents(code, stages.SOURCES)))
    stage = stages.target_image(
        tree,
        (wheel_lock, wheels),
        command,
        (eif, parts.manifest.digest),
        programs=await merge_digests(MergeDigests(programs.values())),
        names=tuple(sorted(programs)),
        emulator=emulator,
        manifest=parts.manifest.path,
        reference=name,
        output=parts.output,
        what=parts.name,
    )
    (image,) = await run_stages(tool, (stage,))
    return image


async def target_programs(
    what: str, architecture: str, emulator: bool, subsystem: EnclaverSubsystem
) -> Dict[str, Digest]:
    """Return the programs that the options name for a target image, by the names that the stage knows them by.

    Args:
        what: the enclave's address, for messages.

    Raises:
        EnclaveBuildError: one that is asked for is missing.
    """
    if emulator and architecture != _EMULATED:
        raise EnclaveBuildError(
            f"{what}: `emulator` is for {_EMULATED}, the image is for {architecture}\n  Leave it out."
        )
    vhost = references.vhost_device_vsock(subsystem) if emulator else None
    if emulator and vhost is None:
        raise EnclaveBuildError(
            f"{what}: an image with `emulator` needs vhost-device-vsock, which Debian has no package of\n"
            "  Set `[enclaver].vhost_device_vsock` to the address of a `file` with it"
            " (cargo install vhost-device-vsock makes it)."
        )
    found = {
        stages.NITRO_CLI: await named_program(references.nitro_cli(subsystem, architecture), stages.NITRO_CLI),
        stages.VHOST: await named_program(vhost, stages.VHOST),
    }
    if not emulator and found[stages.NITRO_CLI] is None:
        logger.warning(
            f"{what}: there is neither nitro-cli nor QEMU in its target image, so a container of it starts no enclave"
            " by itself\n  Set `[enclaver].nitro_cli`, or `emulator=True` on the target."
        )
    return {name: program for name, program in found.items() if program is not None}
