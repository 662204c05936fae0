"""``package``: an ``enclave_image`` as EIF, PCRs and materials; an ``enclave_kernel`` as its folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Iterable

from pants.backend.python.subsystems.repos import PythonRepos
from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact, OutputPathField, PackageFieldSet
from pants.core.goals.run import RunFieldSet, RunInSandboxBehavior
from pants.engine.fs import AddPrefix, RemovePrefix
from pants.engine.rules import collect_rules, rule
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions
from pants.util.logging import LogLevel

from enclaver.engine import add_prefix, remove_prefix
from enclaver.subsystem import EnclaverSubsystem
from enclaver.target_types import (
    AppField,
    ArchitectureField,
    ArgsField,
    BaseField,
    DropXattrsField,
    EntrypointField,
    EnvField,
    KernelField,
    KernelFilesField,
    KernelToolchainField,
    ManifestField,
    TargetAddressField,
)
from enclaver.util_rules import references, stages
from enclaver.util_rules.app import AppOptions, collect_app
from enclaver.util_rules.image import ImageParts, assemble_image, built_kernel
from enclaver.util_rules.manifest import manifest_app, manifest_file, manifest_report, named_files
from enclaver.util_rules.parts import debian_lock, kernel
from enclaver.util_rules.references import Reference
from enclaver.util_rules.tool import EnclaveBuildError, prepare_tool

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
    output_path: OutputPathField


@rule(desc="Package an enclave image", level=LogLevel.DEBUG)
async def package_enclave_image(
    field_set: EnclaveImageFieldSet,
    subsystem: EnclaverSubsystem,
    repos: PythonRepos,
    options: GlobalOptions,
) -> BuiltPackage:
    address = field_set.address
    architecture = field_set.architecture.value
    base = references.base(field_set.base, subsystem, architecture)
    kernel_reference = references.kernel(field_set.kernel, subsystem, architecture)
    if base is None:
        raise EnclaveBuildError(_missing(field_set.base, architecture))
    if kernel_reference is None:
        raise EnclaveBuildError(_missing(field_set.kernel, architecture))

    tool = await prepare_tool(subsystem, options)
    manifest = await manifest_file(field_set.manifest)
    app = references.written(field_set.app)
    report = await manifest_report(tool, manifest, app is not None)
    for note in report.notes:
        logger.info(note)
    app = app or manifest_app(report, manifest, address)
    # A manifest without an app that is a target is among what is unsupported.
    if report.unsupported or app is None:
        raise EnclaveBuildError("\n".join(report.unsupported))

    stem = _stem(field_set.output_path)
    parts = ImageParts(
        name=str(address),
        architecture=architecture,
        manifest=manifest,
        named=await named_files(report, manifest),
        base=await debian_lock(base),
        kernel=await kernel(kernel_reference, architecture),
        app=await collect_app(
            app,
            AppOptions(
                architecture,
                field_set.entrypoint.value or (),
                field_set.args.value or (),
                field_set.env.value or {},
                field_set.drop_xattrs.value,
            ),
        ),
        output=stem,
    )
    digest = await assemble_image(tool, parts, tuple(subsystem.mirrors), repos)
    return BuiltPackage(
        digest,
        tuple(BuiltPackageArtifact(relpath=stem + ending) for ending in (".eif", ".pcrs.json", ".materials.json")),
    )


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
