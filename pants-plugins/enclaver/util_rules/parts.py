"""The parts of an image that come from targets of their own: Debian locks, kernels and what kernels are built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Type

from pants.engine.fs import EMPTY_DIGEST, CreateDigest, Digest, FileEntry
from pants.engine.target import HydrateSourcesRequest, SourcesField, Target

from enclaver.engine import create_digest, digest_entries, hydrated_sources, resolved_targets
from enclaver.target_types import (
    ArchitectureField,
    DebianLockField,
    EnclaveBaseTarget,
    EnclaveKernelTarget,
    KernelConfigField,
    KernelFilesField,
    KernelSourceLockField,
    KernelToolchainField,
)
from enclaver.util_rules import references, stages
from enclaver.util_rules.references import Reference
from enclaver.util_rules.tool import EnclaveBuildError


@dataclass(frozen=True)
class DebianLock:
    """A lock as ``debian.lock.json`` in a digest, and what to call it."""

    digest: Digest
    name: str


@dataclass(frozen=True)
class KernelSource:
    """A kernel that is built from source: its lock and configuration as the stage wants them, and the toolchain."""

    lock: Digest
    config: Digest
    toolchain: DebianLock


@dataclass(frozen=True)
class Kernel:
    """A kernel: files, as ``kernel/`` in a digest, or a source to build; exactly one is set."""

    name: str
    files: Digest
    source: KernelSource | None


async def debian_lock(reference: Reference) -> DebianLock:
    """Return the lock of an ``enclave_base``.

    Raises:
        EnclaveBuildError: the address names no such target.
    """
    target = await _one_target(reference, EnclaveBaseTarget)
    return DebianLock(await _renamed_source(target, DebianLockField, stages.DEBIAN_LOCK), str(target.address))


async def kernel(reference: Reference, architecture: str) -> Kernel:
    """Return an ``enclave_kernel``.

    Raises:
        EnclaveBuildError: the address names no such target, it is of another architecture, or it is neither files
            nor source.
    """
    target = await _one_target(reference, EnclaveKernelTarget)
    name = str(target.address)
    own = target[ArchitectureField].value
    if own != architecture:
        raise EnclaveBuildError(
            f"{reference.origin}: {name} is a kernel for {own}, the image is for {architecture}\n"
            "  Name a kernel of the image's architecture."
        )
    from_source = [
        field.alias for field in (KernelSourceLockField, KernelConfigField, KernelToolchainField) if target[field].value
    ]
    toolchain = references.written(target[KernelToolchainField])
    if bool(target[KernelFilesField].value) == bool(from_source) or len(from_source) not in (0, 3):
        raise EnclaveBuildError(
            f"{name}: an enclave_kernel needs either `sources` or all of `source_lock`, `config` and `toolchain`"
        )
    if toolchain is None:
        return Kernel(name, await _kernel_files(target), None)
    return Kernel(
        name,
        EMPTY_DIGEST,
        KernelSource(
            lock=await _renamed_source(target, KernelSourceLockField, stages.KERNEL_LOCK),
            config=await _renamed_source(target, KernelConfigField, stages.KERNEL_CONFIG),
            toolchain=await debian_lock(toolchain),
        ),
    )


async def _kernel_files(target: Target) -> Digest:
    """Return a kernel's files as ``kernel/NAME``, whatever folders they lie in."""
    sources = await hydrated_sources(HydrateSourcesRequest(target[KernelFilesField]))
    entries = [entry for entry in await digest_entries(sources.snapshot.digest) if isinstance(entry, FileEntry)]
    by_name = {entry.path.rpartition("/")[2]: entry for entry in entries}
    if not entries:
        raise EnclaveBuildError(f"{target.address}: `sources` matches no file, and a kernel is at least two")
    if len(by_name) != len(entries):
        raise EnclaveBuildError(
            f"{target.address}: `sources` matches files of the same name: "
            + ", ".join(sorted(entry.path for entry in entries))
        )
    return await create_digest(
        # Of nitro-cli's blobs two are programs.
        CreateDigest(
            FileEntry(f"{stages.KERNEL}/{name}", entry.file_digest, is_executable=entry.is_executable)
            for name, entry in by_name.items()
        )
    )


async def _renamed_source(target: Target, field: Type[SourcesField], name: str) -> Digest:
    """Return the single file of a field under the name that the stages know it by."""
    sources = await hydrated_sources(HydrateSourcesRequest(target[field]))
    entries = [entry for entry in await digest_entries(sources.snapshot.digest) if isinstance(entry, FileEntry)]
    if len(entries) != 1:
        raise EnclaveBuildError(
            f"{target.address}: `{field.alias}` is {target[field].value!r}, and there is no such file"
        )
    return await create_digest(CreateDigest([FileEntry(name, entries[0].file_digest)]))


async def _one_target(reference: Reference, kind: Type[Target]) -> Target:
    targets = list(await resolved_targets(reference.inputs))
    if len(targets) != 1 or not isinstance(targets[0], kind):
        found = ", ".join(sorted({target.alias for target in targets})) or "nothing"
        raise EnclaveBuildError(f"{reference.origin}: {reference.address} is no {kind.alias} ({found})")
    return targets[0]
