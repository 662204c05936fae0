"""The manifest of an image, as a file and as what core reports of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.engine.addresses import Address
from pants.engine.fs import EMPTY_DIGEST, Digest, FileEntry, PathGlobs
from pants.engine.target import HydrateSourcesRequest

from enclaver.engine import digest_contents, digest_entries, globbed_files, hydrated_sources
from enclaver.target_types import ManifestField
from enclaver.util_rules import stages
from enclaver.util_rules.docker_images import built_here
from enclaver.util_rules.references import Reference
from enclaver.util_rules.report import ManifestReport, NamedFile, parse_report
from enclaver.util_rules.tool import EnclaveBuildError, EnclaverTool, run_stages

# What is in .gitignore, as keys often are, is invisible to Pants.
_UNKNOWN_FILE = (
    "Put it there. If it is there, .gitignore or `[GLOBAL].pants_ignore` hides it: add it to `pants_ignore` in"
    ' pants.toml, with an exclamation mark before it: pants_ignore.add = ["!/path/to/key.pem"].'
)


@dataclass(frozen=True)
class ManifestFile:
    """A manifest in a digest, at its own path: its errors carry it."""

    digest: Digest
    path: str


async def manifest_file(field: ManifestField) -> ManifestFile:
    """Read an image's manifest from the tree.

    Raises:
        EnclaveBuildError: there is none.
    """
    sources = await hydrated_sources(HydrateSourcesRequest(field))
    if not sources.snapshot.files:
        raise EnclaveBuildError(
            f"{field.file_path}: there is no such file, and {field.address} is built from it\n"
            "  Write the manifest there, or name another one in `manifest`."
        )
    (path,) = sources.snapshot.files
    return ManifestFile(sources.snapshot.digest, path)


async def manifest_report(tool: EnclaverTool, manifest: ManifestFile) -> ManifestReport:
    """Parse a manifest.

    Raises:
        EnclaveBuildError: it is not valid; the text holds all its problems.
    """
    (output,) = await run_stages(tool, (stages.read_manifest(manifest.digest, manifest.path),))
    (content,) = await digest_contents(output)
    return parse_report(content.content)


def folder_of(manifest: ManifestFile) -> str:
    """Return the folder that a manifest's paths are relative to, with the slash at its end; '' for the root."""
    folder, slash, _ = manifest.path.rpartition("/")
    return folder + slash


async def named_files(report: ManifestReport, manifest: ManifestFile) -> Digest:
    """Read the files that the ramdisks are made of, at their own paths; they need no target.

    Raises:
        EnclaveBuildError: one is not there.
    """
    return await files_at(manifest, report.files)


async def files_at(manifest: ManifestFile, files: Tuple[NamedFile, ...]) -> Digest:
    """Read files that a manifest names, at their own paths.

    Raises:
        EnclaveBuildError: one is not there.
    """
    if not files:
        return EMPTY_DIGEST
    paths = {file: f"{folder_of(manifest)}{file.path}" for file in files}
    found = await globbed_files(PathGlobs(sorted(set(paths.values()))))
    there = {entry.path for entry in await digest_entries(found) if isinstance(entry, FileEntry)}
    missing = [
        f"{manifest.path}:{file.line}:{file.column}: `{file.key}`: there is no file {path} that Pants knows of"
        for file, path in paths.items()
        if path not in there
    ]
    if missing:
        raise EnclaveBuildError("\n".join(missing) + f"\n  {_UNKNOWN_FILE}")
    return found


async def manifest_app(
    report: ManifestReport, manifest: ManifestFile, owner: Address, docker: DockerOptions
) -> Reference | None:
    """Return the target that a manifest names as its app, by its address or as a ``docker_image``'s tag.

    Returns:
        None when it names an image that no target makes.

    Raises:
        EnclaveBuildError: several targets make it.
    """
    origin = f"`sources.app` of {manifest.path}"
    if report.app_address is not None:
        return Reference(report.app_address, origin, owner)
    return await built_here(str(report.app_image), docker, origin)
