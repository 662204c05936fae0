"""The engine calls by name (Pants 2.32 and newer). The same helpers as in ``by_get``."""

# Pants 2.17 has none of these; the type checker reads this module against it.
# mypy: ignore-errors

from pants.backend.python.util_rules.pex import (
    PexRequest,
    VenvPex,
    VenvPexProcess,
    VenvPexRequest,
    create_venv_pex,
)
from pants.core.goals.package import (
    BuiltPackage,
    EnvironmentAwarePackageRequest,
    PackageFieldSet,
    environment_aware_package,
)
from pants.core.util_rules.env_vars import environment_vars_subset
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
from pants.engine.internals.graph import (
    find_all_targets,
    find_valid_field_sets,
    hydrate_sources,
    resolve_targets,
    resolve_unparsed_address_inputs,
)
from pants.engine.intrinsics import add_prefix as intrinsic_add_prefix
from pants.engine.intrinsics import create_digest as intrinsic_create_digest
from pants.engine.intrinsics import (
    execute_process,
    get_digest_contents,
    get_digest_entries,
    path_globs_to_digest,
)
from pants.engine.intrinsics import merge_digests as intrinsic_merge_digests
from pants.engine.intrinsics import remove_prefix as intrinsic_remove_prefix
from pants.engine.rules import concurrently, implicitly
from pants.engine.target import (
    AllTargets,
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    HydratedSources,
    HydrateSourcesRequest,
    Targets,
)


async def create_digest(request: CreateDigest) -> Digest:
    return await intrinsic_create_digest(request)


async def merge_digests(request: MergeDigests) -> Digest:
    return await intrinsic_merge_digests(request)


async def add_prefix(request: AddPrefix) -> Digest:
    return await intrinsic_add_prefix(request)


async def remove_prefix(request: RemovePrefix) -> Digest:
    return await intrinsic_remove_prefix(request)


async def digest_contents(digest: Digest) -> DigestContents:
    return await get_digest_contents(digest)


async def digest_entries(digest: Digest) -> DigestEntries:
    return await get_digest_entries(digest)


async def globbed_files(globs: PathGlobs) -> Digest:
    return await path_globs_to_digest(globs)


async def hydrated_sources(request: HydrateSourcesRequest) -> HydratedSources:
    return await hydrate_sources(request, **implicitly())


async def all_targets() -> AllTargets:
    return await find_all_targets()


async def environment_variables(request: EnvironmentVarsRequest) -> EnvironmentVars:
    return await environment_vars_subset(request, **implicitly())


async def resolved_addresses(inputs: UnparsedAddressInputs) -> Addresses:
    return await resolve_unparsed_address_inputs(inputs, **implicitly())


async def resolved_targets(inputs: UnparsedAddressInputs) -> Targets:
    return await resolve_targets(**implicitly(inputs))


async def package_field_sets(request: FieldSetsPerTargetRequest) -> FieldSetsPerTarget:
    return await find_valid_field_sets(request, **implicitly())


async def built_package(field_set: PackageFieldSet) -> BuiltPackage:
    return await environment_aware_package(EnvironmentAwarePackageRequest(field_set))


async def venv_pex(request: PexRequest) -> VenvPex:
    return await create_venv_pex(**implicitly(request))


async def workspace_venv_pex(request: VenvPexRequest) -> VenvPex:
    return await create_venv_pex(request, **implicitly())


async def run_venv_pexes(processes: tuple) -> tuple:
    """Run several at once; FallibleProcessResults in their order."""
    # The rule parser knows no type of a comprehension's variable, so the type is written out.
    return await concurrently(execute_process(**implicitly({process: VenvPexProcess})) for process in processes)
