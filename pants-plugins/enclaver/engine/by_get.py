"""The engine calls with ``Get`` (Pants 2.17 to 2.31). Annotations are plain classes: the rule parser reads them."""

from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess, VenvPexRequest
from pants.core.goals.package import BuiltPackage, EnvironmentAwarePackageRequest, PackageFieldSet
from pants.engine.addresses import Addresses, UnparsedAddressInputs
from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestEntries,
    MergeDigests,
    PathGlobs,
    RemovePrefix,
)
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import Get, MultiGet
from pants.engine.target import (
    AllTargets,
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    HydratedSources,
    HydrateSourcesRequest,
    Targets,
)


async def create_digest(request: CreateDigest) -> Digest:
    return await Get(Digest, CreateDigest, request)


async def merge_digests(request: MergeDigests) -> Digest:
    return await Get(Digest, MergeDigests, request)


async def add_prefix(request: AddPrefix) -> Digest:
    return await Get(Digest, AddPrefix, request)


async def remove_prefix(request: RemovePrefix) -> Digest:
    return await Get(Digest, RemovePrefix, request)


async def digest_contents(digest: Digest) -> DigestContents:
    return await Get(DigestContents, Digest, digest)


async def digest_entries(digest: Digest) -> DigestEntries:
    return await Get(DigestEntries, Digest, digest)


async def globbed_files(globs: PathGlobs) -> Digest:
    return await Get(Digest, PathGlobs, globs)


async def hydrated_sources(request: HydrateSourcesRequest) -> HydratedSources:
    return await Get(HydratedSources, HydrateSourcesRequest, request)


async def all_targets() -> AllTargets:
    return await Get(AllTargets)


async def environment_variables(request: EnvironmentVarsRequest) -> EnvironmentVars:
    return await Get(EnvironmentVars, EnvironmentVarsRequest, request)


async def resolved_addresses(inputs: UnparsedAddressInputs) -> Addresses:
    return await Get(Addresses, UnparsedAddressInputs, inputs)


async def resolved_targets(inputs: UnparsedAddressInputs) -> Targets:
    return await Get(Targets, UnparsedAddressInputs, inputs)


async def package_field_sets(request: FieldSetsPerTargetRequest) -> FieldSetsPerTarget:
    return await Get(FieldSetsPerTarget, FieldSetsPerTargetRequest, request)


async def built_package(field_set: PackageFieldSet) -> BuiltPackage:
    return await Get(BuiltPackage, EnvironmentAwarePackageRequest, EnvironmentAwarePackageRequest(field_set))


async def venv_pex(request: PexRequest) -> VenvPex:
    return await Get(VenvPex, PexRequest, request)


async def workspace_venv_pex(request: VenvPexRequest) -> VenvPex:
    return await Get(VenvPex, VenvPexRequest, request)


async def run_venv_pexes(processes: tuple) -> tuple:
    """Run several at once; FallibleProcessResults in their order."""
    return await MultiGet(Get(FallibleProcessResult, VenvPexProcess, process) for process in processes)
