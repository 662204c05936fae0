"""An image from its parts, in waves: whatever does not need each other runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from pants.backend.python.subsystems.repos import PythonRepos
from pants.engine.fs import CreateDigest, Digest, FileContent

from enclaver.engine import create_digest
from enclaver.subsystem import EnclaverSubsystem
from enclaver.util_rules import references, sources, stages
from enclaver.util_rules.app import App
from enclaver.util_rules.manifest import ManifestFile
from enclaver.util_rules.parts import DebianLock, Kernel
from enclaver.util_rules.programs import named_program
from enclaver.util_rules.progress import followed
from enclaver.util_rules.signing import Signing
from enclaver.util_rules.tool import EnclaverTool, file_contents, locked, run_stages

NITRO_CLI = "nitro-cli"
# Debian's names for the architectures.
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ImageParts:
    """Everything an image is made of.

    Args:
        name: the image's address.
        architecture: x86_64 or aarch64.
        builder: native or nitro-cli.
        manifest: the manifest, validated.
        named: the files that the manifest names, at their own paths.
        signing: who signs it; None when nobody does.
        base: the lock of the app's root file system; None for an app that is a container image.
        kernel: the kernel, as files or source.
        app: the app and how it runs.
        output: path of the image in the distribution folder, without an ending.
    """

    name: str
    architecture: str
    builder: str
    manifest: ManifestFile
    named: Digest
    signing: Signing | None
    base: DebianLock | None
    kernel: Kernel
    app: App
    output: str


async def built_kernel(tool: EnclaverTool, kernel: Kernel, mirrors: Tuple[str, ...]) -> Digest:
    """Return a kernel's folder, as ``kernel/``: the files it was given as, or what building it from source left."""
    source = kernel.source
    if source is None:
        return kernel.files
    packages, archive = await run_stages(
        tool,
        (
            stages.fetch_debian(source.toolchain.digest, source.toolchain.name, mirrors),
            stages.fetch_kernel_source(source.lock, kernel.name, mirrors),
        ),
    )
    with followed(tool.named_caches):
        (built,) = await run_stages(
            tool,
            (
                stages.build_kernel(
                    (source.toolchain.digest, packages), (source.lock, archive), source.config, kernel.name
                ),
            ),
        )
    return built


async def assemble_image(
    tool: EnclaverTool, parts: ImageParts, subsystem: EnclaverSubsystem, repos: PythonRepos
) -> Digest:
    """Build an image; the digest holds ``OUTPUT.eif``, ``OUTPUT.pcrs.json`` and ``OUTPUT.materials.json``."""
    mirrors = tuple(subsystem.mirrors)
    kernel = await built_kernel(tool, parts.kernel, mirrors)
    runtime_lock = await shipped_lock(f"runtime.{DEBIAN[parts.architecture]}.lock.json", "the enclave runtime")
    wheel_lock = await shipped_wheel_lock()
    runtime = await create_digest(CreateDigest(file_contents(sources.folder("enclaver_runtime"), stages.RUNTIME)))
    locks = (runtime_lock, *((parts.base,) if parts.base else ()))
    *packages, wheels = await run_stages(
        tool,
        (
            *(stages.fetch_debian(lock.digest, lock.name, mirrors) for lock in locks),
            stages.fetch_wheels(wheel_lock, repos.indexes, repos.find_links),
        ),
    )
    runtime_tree, *base_tree = await run_stages(
        tool,
        tuple(stages.debian_tree((lock.digest, debs), lock.name) for lock, debs in zip(locks, packages)),
    )
    boot, app = await run_stages(
        tool,
        (
            stages.boot_ramdisk(runtime_tree, (wheel_lock, wheels), runtime, kernel),
            stages.app_ramdisk(
                base_tree[0] if base_tree else None,
                (parts.app.files, parts.app.spec),
                (parts.manifest.digest, parts.named),
                parts.manifest.path,
                parts.name,
            ),
        ),
    )
    if parts.builder == NITRO_CLI:
        return await _by_nitro_cli(tool, parts, kernel, boot, app, subsystem)
    stage = stages.image(
        kernel,
        boot,
        app,
        parts.manifest.digest,
        path=parts.manifest.path,
        architecture=parts.architecture,
        signing=parts.signing,
        env=tool.env,
        output=parts.output,
        what=parts.name,
    )
    (image,) = await run_stages(tool, (stage,))
    return image


async def _by_nitro_cli(
    tool: EnclaverTool, parts: ImageParts, kernel: Digest, boot: Digest, app: Digest, subsystem: EnclaverSubsystem
) -> Digest:
    """Have AWS's own tool assemble an image."""
    program = await named_program(references.nitro_cli(subsystem, parts.architecture), stages.NITRO_CLI)
    (container,) = await run_stages(tool, (stages.nitro_image(boot, app, parts.architecture, parts.name),))
    stage = stages.nitro_build(
        container,
        kernel,
        parts.manifest.digest,
        program,
        path=parts.manifest.path,
        architecture=parts.architecture,
        signing=parts.signing,
        env=tool.env,
        output=parts.output,
        what=parts.name,
    )
    (image,) = await run_stages(tool, (stage,))
    return image


async def shipped_lock(name: str, what: str) -> DebianLock:
    """Return a Debian lock that ships with the backend."""
    digest = await create_digest(CreateDigest([FileContent(stages.DEBIAN_LOCK, locked(name))]))
    return DebianLock(digest, what)


async def shipped_wheel_lock() -> Digest:
    """Return the lock of the runtime's wheels."""
    return await create_digest(CreateDigest([FileContent(stages.WHEEL_LOCK, locked("runtime.lock"))]))
