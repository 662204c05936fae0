"""``package``: an ``enclave_image`` as EIF, PCRs and materials; an ``enclave_kernel`` as its folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Iterable

from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.backend.python.subsystems.repos import PythonRepos
from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, OutputPathField, PackageFieldSet
from pants.core.goals.run import RunFieldSet, RunInSandboxBehavior
from pants.engine.fs import AddPrefix, MergeDigests, RemovePrefix
from pants.engine.rules import collect_rules, rule
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions
from pants.util.logging import LogLevel

from enclaver.engine import add_prefix, merge_digests, remove_prefix
from enclaver.subsystem import EnclaverSubsystem
from enclaver.target_types import (
    AppField,
    ArchitectureField,
    ArgsField,
    BaseField,
    BuilderField,
    DropXattrsField,
    EmulatorField,
    EntrypointField,
    EnvField,
    KernelField,
    KernelFilesField,
    KernelToolchainField,
    ManifestField,
    TargetAddressField,
)
from enclaver.util_rules import references, stages
from enclaver.util_rules.app import App, AppOptions, collect_app, fetch_app
from enclaver.util_rules.image import NITRO_CLI, ImageParts, assemble_image, built_kernel
from enclaver.util_rules.image_lock import image_lock, lock_path
from enclaver.util_rules.manifest import ManifestFile, manifest_app, manifest_file, manifest_report, named_files
from enclaver.util_rules.parts import debian_lock, kernel
from enclaver.util_rules.references import Reference
from enclaver.util_rules.report import ManifestReport
from enclaver.util_rules.signing import signing
from enclaver.util_rules.target_image import target_image, target_programs
from enclaver.util_rules.tool import EnclaveBuildError, EnclaverTool, prepare_tool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnclaveImageFieldSet(PackageFieldSet, RunFieldSet):
    """What `package` and `run` need of an ``enclave_image``."""

    required_fields = (ManifestField,)
    run_in_sandbox_behavior = RunInSandboxBehavior.NOT_SUPPORTED

    manifest: ManifestField
    app: AppField
    base: BaseField
    kernel: KernelField
    entrypoint: EntrypointField
    args: ArgsField
    env: EnvField
    drop_xattrs: DropXattrsField
    architecture: ArchitectureField
    builder: BuilderField
    emulator: EmulatorField
    output_path: OutputPathField


# Pants follows the calls of a rule when it comes to the rule, so what a rule calls stands before it.
async def _app(
    tool: EnclaverTool,
    field_set: EnclaveImageFieldSet,
    report: ManifestReport,
    manifest: ManifestFile,
    docker: DockerOptions,
) -> App:
    """Return the app: what the target names, else what the manifest does."""
    options = AppOptions(
        field_set.architecture.value,
        field_set.entrypoint.value or (),
        field_set.args.value or (),
        field_set.env.value or {},
        field_set.drop_xattrs.value,
    )
    target = references.written(field_set.app) or await manifest_app(report, manifest, field_set.address, docker)
    if target is not None:
        return await collect_app(tool, target, options)
    lock = await image_lock(field_set.address)
    if lock is None:
        raise EnclaveBuildError(
            f"{manifest.path}: `sources.app` is the image {report.app_image}, no docker_image target makes it, and"
            f" {lock_path(field_set.address)} does not pin it\n"
            f"  Run `./pants enclave-lock {field_set.address}`, and keep the file that it writes in version control."
        )
    return await fetch_app(tool, str(report.app_image), lock, options)


@rule(desc="Package an enclave image", level=LogLevel.DEBUG)
async def package_enclave_image(
    field_set: EnclaveImageFieldSet,
    subsystem: EnclaverSubsystem,
    repos: PythonRepos,
    docker: DockerOptions,
    options: GlobalOptions,
) -> BuiltPackage:
    address = field_set.address
    architecture = field_set.architecture.value
    kernel_reference = references.kernel(field_set.kernel, subsystem, architecture)
    if kernel_reference is None:
        raise EnclaveBuildError(_missing(field_set.kernel, architecture))

    tool = await prepare_tool(subsystem, options)
    manifest = await manifest_file(field_set.manifest)
    report = await manifest_report(tool, manifest)
    for note in report.notes:
        logger.info(note)
    signed_by = await signing(tool, report, manifest)
    its_kernel = await kernel(kernel_reference, architecture)
    if field_set.builder.value == NITRO_CLI and its_kernel.source is not None:
        raise EnclaveBuildError(
            f"{address}: nitro-cli takes its kernel from a folder of blobs, and {its_kernel.name} is built from"
            " source\n  Name an enclave_kernel in `kernel` whose `sources` are all of nitro-cli's blobs."
        )
    emulator = field_set.emulator.value
    programs = await target_programs(str(address), architecture, emulator, subsystem) if report.target else {}
    if emulator and report.target is None:
        logger.warning(f"{address}: `emulator` is for the target image, and {manifest.path} names no `target`")
    app = await _app(tool, field_set, report, manifest, docker)
    base = None if app.is_image else references.base(field_set.base, subsystem, architecture)
    if base is None and not app.is_image:
        raise EnclaveBuildError(_missing(field_set.base, architecture))

    stem = _stem(field_set.output_path)
    parts = ImageParts(
        name=str(address),
        architecture=architecture,
        builder=field_set.builder.value,
        manifest=manifest,
        named=await named_files(report, manifest),
        signing=signed_by,
        base=await debian_lock(base) if base else None,
        kernel=its_kernel,
        app=app,
        output=stem,
    )
    digest = await assemble_image(tool, parts, subsystem, repos)
    endings = [".eif", ".pcrs.json", ".materials.json"]
    if report.target is not None:
        target = await target_image(tool, parts, digest, report.target, emulator, programs, subsystem, repos)
        digest = await merge_digests(MergeDigests([digest, target]))
        endings.append(".image.tar")
    return BuiltPackage(digest, tuple(BuiltPackageArtifact(relpath=stem + ending) for ending in endings))


@dataclass(frozen=True)
class EnclaveKernelFieldSet(PackageFieldSet):
    """What `package` needs of an ``enclave_kernel``."""

    required_fields = (KernelFilesField, KernelToolchainField)

    architecture: ArchitectureField
    output_path: OutputPathField


@rule(desc="Package an enclave kernel", level=LogLevel.DEBUG)
async def package_enclave_kernel(
    field_set: EnclaveKernelFieldSet, subsystem: EnclaverSubsystem, options: GlobalOptions
) -> BuiltPackage:
    address = field_set.address
    tool = await prepare_tool(subsystem, options)
    # The spec of a target at the root of the repository has the slashes already.
    reference = Reference("//" + address.spec.lstrip("/"), f"the kernel {address}")
    parts = await kernel(reference, field_set.architecture.value)
    folder = await remove_prefix(RemovePrefix(await built_kernel(tool, parts, tuple(subsystem.mirrors)), stages.KERNEL))
    output = _checked(field_set.output_path, field_set.output_path.value_or_default(file_ending=None))
    return BuiltPackage(await add_prefix(AddPrefix(folder, output)), (BuiltPackageArtifact(relpath=output),))


def _stem(field: OutputPathField) -> str:
    """Return the path of an image below the distribution folder, without its ending."""
    output = _checked(field, field.value_or_default(file_ending="eif"))
    return output[: -len(".eif")] if output.endswith(".eif") else output


def _checked(field: OutputPathField, output: str) -> str:
    """Return an output path; one that leaves the distribution folder would leave the stage's sandbox too."""
    path = PurePosixPath(output)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise EnclaveBuildError(
            f"the `{field.alias}` of {field.address} is {output!r}, outside the distribution folder"
        )
    return str(path)


def _missing(field: TargetAddressField, architecture: str) -> str:
    option = f"default_{field.alias}"
    return (
        f"{field.address}: no {field.alias} for {architecture}\n"
        f"  Set `{field.alias}` on the target, or `[enclaver].{option}` in pants.toml:"
        f' {option} = {{ {architecture} = "//..." }}.'
    )


def rules() -> Iterable[object]:
    """Return the rules of this module."""
    return (
        *collect_rules(),
        UnionRule(PackageFieldSet, EnclaveImageFieldSet),
        UnionRule(PackageFieldSet, EnclaveKernelFieldSet),
    )
