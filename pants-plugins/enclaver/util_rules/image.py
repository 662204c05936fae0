"""An image from its parts, in waves: whatever does not need each other runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from pants.backend.python.subsystems.repos import PythonRepos
from pants.engine.fs import CreateDigest, Digest, FileContent

from enclaver.engine import create_digest
from enclaver.util_rules import sources, stages
from enclaver.util_rules.app import App
from enclaver.util_rules.manifest import ManifestFile
from enclaver.util_rules.parts import DebianLock, Kernel
from enclaver.util_rules.progress import followed
from enclaver.util_rules.tool import EnclaverTool, file_contents, locked, run_stages

# Debian's names for the architectures.
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ImageParts:
    """Everything an image is made of.

    Args:
        name: the image's address.
        architecture: x86_64 or aarch64.
        manifest: the manifest, validated.
        named: the files that the manifest names, at their own paths.
        base: the lock of the app's root file system.
        kernel: the kernel, as files or source.
        app: the app and how it runs.
        output: path of the image in the distribution folder, without an ending.
    """

    name: str
    architecture: str
    manifest: ManifestFile
    named: Digest
    base: DebianLock
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


async def assemble_image(tool: EnclaverTool, parts: ImageParts, mirrors: Tuple[str, ...], repos: PythonRepos) -> Digest:
    """Build an image; the digest holds ``OUTPUT.eif``, ``OUTPUT.pcrs.json`` and ``OUTPUT.materials.json``."""
    kernel = await built_kernel(tool, parts.kernel, mirrors)
    runtime_lock = await _boot_lock(parts.architecture)
    wheel_lock = await create_digest(CreateDigest([FileContent(stages.WHEEL_LOCK, locked("runtime.lock"))]))
    runtime = await create_digest(CreateDigest(file_contents(sources.folder("enclaver_runtime"), stages.RUNTIME)))
    runtime_packages, base_packages, wheels = await run_stages(
        tool,
        (
            stages.fetch_debian(runtime_lock.digest, runtime_lock.name, mirrors),
            stages.fetch_debian(parts.base.digest, parts.base.name, mirrors),
            stages.fetch_wheels(wheel_lock, repos.indexes, repos.find_links),
        ),
    )
    runtime_tree, base_tree = await run_stages(
        tool,
        (
            stages.debian_tree((runtime_lock.digest, runtime_packages), runtime_lock.name),
            stages.debian_tree((parts.base.digest, base_packages), parts.base.name),
        ),
    )
    boot, app = await run_stages(
        tool,
        (
            stages.boot_ramdisk(runtime_tree, (wheel_lock, wheels), runtime, kernel),
            stages.app_ramdisk(
                base_tree,
                (parts.app.files, parts.app.spec),
                (parts.manifest.digest, parts.named),
                parts.manifest.path,
                parts.name,
            ),
        ),
    )
    (image,) = await run_stages(
        tool,
        (
            stages.image(
                kernel,
                boot,
                app,
                parts.manifest.digest,
                path=parts.manifest.path,
                architecture=parts.architecture,
                output=parts.output,
                what=parts.name,
            ),
        ),
    )
    return image


async def _boot_lock(architecture: str) -> DebianLock:
    """Return the lock of the boot ramdisk's Python: the same for everybody on this release, and so is PCR1."""
    name = f"runtime.{DEBIAN[architecture]}.lock.json"
    digest = await create_digest(CreateDigest([FileContent(stages.DEBIAN_LOCK, locked(name))]))
    return DebianLock(digest, f"the enclave runtime ({DEBIAN[architecture]})")
