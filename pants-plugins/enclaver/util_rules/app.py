"""A target as an app: what it packages, its files or its image, and how the enclave's image is to lay them out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Tuple

from pants.backend.docker.package_types import BuiltDockerImage
from pants.core.goals.package import BuiltPackage, PackageFieldSet
from pants.core.target_types import ArchiveFormatField, FileSourceField, ResourceSourceField
from pants.engine.fs import AddPrefix, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.target import (
    FieldSetsPerTargetRequest,
    HydratedSources,
    HydrateSourcesRequest,
    SourcesField,
    Target,
)

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
from enclaver.util_rules.image_lock import ImageLock
from enclaver.util_rules.references import Reference
from enclaver.util_rules.tool import EnclaveBuildError, EnclaverTool, run_stages

_SPEC_VERSION = 1
# What `package` builds and no app is: parts of enclaves.
_NO_APPS = {EnclaveBaseTarget.alias, EnclaveImageTarget.alias, EnclaveKernelTarget.alias}


@dataclass(frozen=True)
class App:
    """The app's files below ``app/``, and ``app.json`` that says what they are.

    Args:
        files: digest of ``app/``.
        spec: digest of ``app.json``.
        is_image: it is known to be a container image, so it needs no base.
    """

    files: Digest
    spec: Digest
    is_image: bool


@dataclass(frozen=True)
class AppOptions:
    """The fields of an image that shape how its app runs."""

    architecture: str
    entrypoint: Tuple[str, ...]
    args: Tuple[str, ...]
    env: Mapping[str, str]
    drop_xattrs: bool


async def fetch_app(tool: EnclaverTool, image: str, lock: ImageLock, options: AppOptions) -> App:
    """Fetch a container image that a lock pins.

    Raises:
        EnclaveBuildError: the lock does not have it, or nobody has it as the lock says.
    """
    stage = stages.fetch_image(lock.digest, image, options.architecture, tool.env, tool.insecure_registries)
    (files,) = await run_stages(tool, (stage,))
    return await _app(files, [_image_item(image)], options, is_image=True)


async def collect_app(tool: EnclaverTool, reference: Reference, options: AppOptions) -> App:
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
            if image_id := _image_id(package):
                # Of an image that its backend builds Pants has the name; its files are the daemon's.
                digests.extend(await run_stages(tool, (stages.save_image(image_id, str(target.address), tool.env),)))
                items.append(_image_item(str(target.address)))
                continue
            digests.append(package.digest)
            items.extend(
                _item(artifact.relpath, artifact.relpath.rpartition("/")[2], kind, target)
                for artifact in package.artifacts
                if artifact.relpath
            )
        if not candidates:
            sources = await _files(target)
            digests.append(sources.snapshot.digest)
            items.extend(_item(path, _below(path, target), "file", target) for path in sources.snapshot.files)
    if not items:
        raise _refused(reference, targets)
    if len(items) > 1 and any(item["path"] == stages.APP_IMAGE for item in items):
        raise _refused(reference, targets)
    merged = await merge_digests(MergeDigests(digests))
    return await _app(merged, items, options, is_image=items[0]["path"] == stages.APP_IMAGE)


async def _app(files: Digest, items: List[Dict[str, str]], options: AppOptions, is_image: bool) -> App:
    return App(
        files=await add_prefix(AddPrefix(files, stages.APP)),
        spec=await create_digest(CreateDigest([FileContent(stages.APP_SPEC, _spec(items, options))])),
        is_image=is_image,
    )


async def packaged_files(reference: Reference) -> Digest:
    """Return what a target packages, or its files."""
    targets = await resolved_targets(reference.inputs)
    field_sets = await package_field_sets(FieldSetsPerTargetRequest(PackageFieldSet, targets))
    digests: List[Digest] = []
    for target, candidates in zip(targets, field_sets.collection):
        for field_set in candidates:
            digests.append((await built_package(field_set)).digest)
        if not candidates:
            digests.append((await _files(target)).snapshot.digest)
    return await merge_digests(MergeDigests(digests))


async def _files(target: Target) -> HydratedSources:
    """Return a target's files, and those that it generates. What is no file (Python sources) hydrates to nothing."""
    return await hydrated_sources(
        HydrateSourcesRequest(
            target.get(SourcesField), for_sources_types=(FileSourceField, ResourceSourceField), enable_codegen=True
        )
    )


def _image_id(package: BuiltPackage) -> str | None:
    return next((one.image_id for one in package.artifacts if isinstance(one, BuiltDockerImage)), None)


def _image_item(target: str) -> Dict[str, str]:
    return {"path": stages.APP_IMAGE, "as": stages.APP_IMAGE, "kind": "package", "target": target}


def _refused(reference: Reference, targets: Iterable[Target]) -> EnclaveBuildError:
    kinds = ", ".join(sorted({target.alias for target in targets})) or "empty"
    return EnclaveBuildError(
        f"{reference.origin}: {reference.address} is nothing that can be laid into an image as an app ({kinds})\n"
        "  Name a pex_binary, a docker_image alone, another target that `package` builds, or files."
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
