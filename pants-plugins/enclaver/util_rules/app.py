"""A target as an app: what it packages, or its files, and how the image is to lay them out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Tuple

from pants.core.goals.package import PackageFieldSet
from pants.core.target_types import ArchiveFormatField, FileSourceField, ResourceSourceField
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.target import FieldSetsPerTargetRequest, HydrateSourcesRequest, SourcesField, Target

from enclaver.engine import (
    add_prefix,
    built_package,
    create_digest,
    hydrated_sources,
    merge_digests,
    package_field_sets,
    resolved_targets,
)
from enclaver.target_types import EnclaveBaseTarget, EnclaveImageTarget, EnclaveKernelTarget
from enclaver.util_rules import stages
from enclaver.util_rules.references import Reference
from enclaver.util_rules.tool import EnclaveBuildError

_SPEC_VERSION = 1
# What `package` builds and no app is: parts of enclaves, and images, of which Pants has a name and no files.
_NO_APPS = {EnclaveBaseTarget.alias, EnclaveImageTarget.alias, EnclaveKernelTarget.alias, "docker_image"}


@dataclass(frozen=True)
class App:
    """The app's files below ``app/``, and ``app.json`` that says what they are.

    Args:
        files: digest of ``app/``.
        spec: digest of ``app.json``.
    """

    files: Digest
    spec: Digest


@dataclass(frozen=True)
class AppOptions:
    """The fields of an image that shape how its app runs."""

    architecture: str
    entrypoint: Tuple[str, ...]
    args: Tuple[str, ...]
    env: Mapping[str, str]
    drop_xattrs: bool


async def collect_app(reference: Reference, options: AppOptions) -> App:
    """Package a target, or take its files.

    Raises:
        EnclaveBuildError: the target makes nothing that could be laid into an image.
    """
    targets = await resolved_targets(reference.inputs)
    if any(target.alias in _NO_APPS for target in targets):
        raise _refused(reference, targets)
    field_sets = await package_field_sets(FieldSetsPerTargetRequest(PackageFieldSet, targets))
    digests: List[Digest] = []
    items: List[Dict[str, str]] = []
    for target, candidates in zip(targets, field_sets.collection):
        kind = "archive" if target.has_field(ArchiveFormatField) else "package"
        for field_set in candidates:
            package = await built_package(field_set)
            digests.append(package.digest)
            items.extend(
                _item(artifact.relpath, artifact.relpath.rpartition("/")[2], kind, target)
                for artifact in package.artifacts
                if artifact.relpath
            )
        if not candidates:
            # Files, and targets that generate some. What is no file (Python sources) hydrates to nothing.
            sources = await hydrated_sources(
                HydrateSourcesRequest(
                    target.get(SourcesField),
                    for_sources_types=(FileSourceField, ResourceSourceField),
                    enable_codegen=True,
                )
            )
            digests.append(sources.snapshot.digest)
            items.extend(_item(path, _below(path, target), "file", target) for path in sources.snapshot.files)
    if not items:
        raise _refused(reference, targets)
    merged = await merge_digests(MergeDigests(digests))
    return App(
        files=await add_prefix(AddPrefix(merged, stages.APP)),
        spec=await create_digest(CreateDigest([FileContent(stages.APP_SPEC, _spec(items, options))])),
    )


def _refused(reference: Reference, targets: Iterable[Target]) -> EnclaveBuildError:
    kinds = ", ".join(sorted({target.alias for target in targets})) or "empty"
    return EnclaveBuildError(
        f"{reference.origin}: {reference.address} is nothing that can be laid into an image as an app ({kinds})\n"
        "  Name a pex_binary, another target that `package` builds, or files."
    )


def _item(path: str, laid_as: str, kind: str, target: Target) -> Dict[str, str]:
    return {"path": path, "as": laid_as, "kind": kind, "target": str(target.address)}


def _below(path: str, target: Target) -> str:
    """Return a source's path relative to its target's folder."""
    folder = target.address.spec_path
    return path[len(folder) + 1 :] if folder and path.startswith(folder + "/") else path


def _spec(items: Iterable[Mapping[str, str]], options: AppOptions) -> bytes:
    value = {
        "version": _SPEC_VERSION,
        "architecture": options.architecture,
        "items": sorted(items, key=lambda item: item["path"]),
        "entrypoint": list(options.entrypoint),
        "args": list(options.args),
        "env": dict(options.env),
        "drop_xattrs": options.drop_xattrs,
    }
    return json.dumps(value, sort_keys=True).encode()
