"""What a target depends on without saying so in `dependencies`: an image on its parts, a kernel on its toolchain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, List

from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.engine.addresses import Address
from pants.engine.rules import collect_rules, rule
from pants.engine.target import FieldSet, InferDependenciesRequest, InferredDependencies
from pants.engine.unions import UnionRule
from pants.option.global_options import GlobalOptions

from enclaver.engine import resolved_addresses
from enclaver.subsystem import EnclaverSubsystem
from enclaver.target_types import (
    AppField,
    ArchitectureField,
    BaseField,
    EmulatorField,
    EnclaveImageDependenciesField,
    KernelField,
    KernelToolchainField,
    ManifestField,
)
from enclaver.util_rules import references
from enclaver.util_rules.manifest import manifest_app, manifest_file, manifest_report
from enclaver.util_rules.tool import EnclaveBuildError, prepare_tool


@dataclass(frozen=True)
class EnclaveImageDependenciesFieldSet(FieldSet):
    """What the dependencies of an image are inferred from."""

    required_fields = (ManifestField, EnclaveImageDependenciesField)

    manifest: ManifestField
    app: AppField
    base: BaseField
    kernel: KernelField
    architecture: ArchitectureField
    emulator: EmulatorField


class InferEnclaveImageDependencies(InferDependenciesRequest):
    infer_from = EnclaveImageDependenciesFieldSet


@rule(desc="Infer the dependencies of an enclave image")
async def infer_enclave_image_dependencies(
    request: InferEnclaveImageDependencies, subsystem: EnclaverSubsystem, docker: DockerOptions, options: GlobalOptions
) -> InferredDependencies:
    fields = request.field_set
    architecture = fields.architecture.value
    app = references.written(fields.app)
    if app is None:
        tool = await prepare_tool(subsystem, options)
        try:
            manifest = await manifest_file(fields.manifest)
            app = await manifest_app(await manifest_report(tool, manifest), manifest, fields.address, docker)
        except EnclaveBuildError:
            # A missing or invalid manifest is `package`'s to report; whatever else was asked for goes on.
            app = None
    parts = (
        app,
        references.base(fields.base, subsystem, architecture),
        references.kernel(fields.kernel, subsystem, architecture),
        references.nitro_cli(subsystem, architecture),
        references.vhost_device_vsock(subsystem) if fields.emulator.value else None,
    )
    found: List[Address] = []
    for reference in parts:
        if reference is not None:
            found.extend(await resolved_addresses(reference.inputs))
    return InferredDependencies(found)


@dataclass(frozen=True)
class EnclaveKernelDependenciesFieldSet(FieldSet):
    """What the dependencies of a kernel are inferred from."""

    required_fields = (KernelToolchainField,)

    toolchain: KernelToolchainField


class InferEnclaveKernelDependencies(InferDependenciesRequest):
    infer_from = EnclaveKernelDependenciesFieldSet


@rule(desc="Infer the dependencies of an enclave kernel")
async def infer_enclave_kernel_dependencies(request: InferEnclaveKernelDependencies) -> InferredDependencies:
    toolchain = references.written(request.field_set.toolchain)
    return InferredDependencies(await resolved_addresses(toolchain.inputs) if toolchain else ())


def rules() -> Iterable[object]:
    """Return the rules of this module."""
    return (
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferEnclaveImageDependencies),
        UnionRule(InferDependenciesRequest, InferEnclaveKernelDependencies),
    )
