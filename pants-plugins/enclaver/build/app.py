"""Ramdisk 1: the app's root file system below ``/rootfs``; beside it, runtime.json and what else the runtime reads."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from enclaver.build import app_command, app_spec, image_app, ingress_tls
from enclaver.build import manifest as manifest_file
from enclaver.build.app_spec import AppDescription, AppItem
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest import runtime_config
from enclaver.core.manifest.runtime_config import AppSpec
from enclaver.core.python import pex
from enclaver.core.rootfs import directory, elf, skeleton, tarred, zipped
from enclaver.core.rootfs.entry import ORIGIN, Entry, Kind, content_sha256, printable
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust import materials
from enclaver.core.trust.listing import folder_input
from enclaver.core.trust.materials import Input
from enclaver.system.atomic import atomic_outputs

ROOTFS: Final = "rootfs"
_APP: Final = skeleton.APP


def app(
    *,
    tree: tuple[Path, Path] | None,
    folder: Path,
    spec: Path,
    manifest: Path,
    output: tuple[Path, Path],
    cache: Path | None = None,
) -> None:
    """Make the app ramdisk.

    Args:
        tree: archive and entries of the base; None for an app that is known to be an image, which has no use for one.
        folder: what the app is made of.
        spec: its description, as app_spec.load reads it.
        manifest: the Enclaver manifest; the files that it names lie in its folder.
        output: archive and entries to write.
        cache: a folder where the layers of images are kept, unpacked.

    Raises:
        EnclaverError: as ``made``, or an output can't be written.
    """
    work = output[0].absolute().parent
    with (
        made(tree=tree, folder=folder, spec=spec, manifest=manifest, work=work, cache=cache) as (root, inputs),
        atomic_outputs(output) as (archive, entries),
    ):
        materials.write_tree(root, inputs, archive, entries)


@contextmanager
def made(
    *,
    tree: tuple[Path, Path] | None,
    folder: Path,
    spec: Path,
    manifest: Path,
    work: Path,
    cache: Path | None = None,
) -> Iterator[tuple[Tree, list[Input]]]:
    """Yield the app ramdisk's tree and what it is made of, both for as long as the block lasts.

    Args:
        tree, folder, spec, manifest, cache: as for ``app``.
        work: a folder for what is unpacked on the way; contents lie there, or in the cache.

    Raises:
        EnclaverError: the manifest names files that are unfit, the app doesn't fit the base or the architecture, or
            there is nothing to run.
    """
    described = app_spec.load(spec)
    parsed = manifest_file.load(manifest)
    tls, tls_inputs = ingress_tls.pack(parsed, manifest.parent)
    with (
        tempfile.TemporaryDirectory(prefix=".app-", dir=work) as unpacked,
        Spool(Path(unpacked, "spool")) as spool,
    ):
        if image := image_app.find(described, folder, Path(unpacked)):
            found = image_app.read(image, described, Path(unpacked), cache)
            mode, uid, gid = found.folder
            root, inputs, command = found.root, [found.source], found.spec
        else:
            mode, uid, gid = 0o755, 0, 0
            root, inputs, command = _on_base(tree, folder, described, spool)
        config = runtime_config.render(parsed, command)
        whole = Tree()
        whole.add_directory(ROOTFS, mode=mode, uid=uid, gid=gid, origin=ORIGIN)
        whole.graft(root, ROOTFS)
        whole.add_file(runtime_config.PATH, config, origin=ORIGIN)
        whole.graft(tls)
        inputs += tls_inputs
        whole.ensure_parents(origin=ORIGIN)
        yield whole, inputs


def _on_base(
    tree: tuple[Path, Path] | None, folder: Path, described: AppDescription, spool: Spool
) -> tuple[Tree, list[Input], AppSpec]:
    """Return the base with the app's items in it, what both are made of, and how the app is started."""
    if tree is None:
        raise EnclaverError(
            "is no container image, and there is no base to lay it on",
            file=described.items[0].target if described.items else str(folder),
            cure="Give the archive of an image (docker save, or an OCI one), or a base.",
        )
    root, inputs = materials.load_tree(*tree)
    skeleton.add(root)
    pexes = []
    for item in described.items:
        is_pex = item.kind == "package" and pex.is_pex(folder / item.path)
        brought, below = _read(folder / item.path, item, spool, is_pex=is_pex)
        root.graft(brought, below)
        inputs.append(_input(brought, item))
        if is_pex:
            pexes.append(f"/{_APP}/{item.laid_as}")
    root.ensure_parents(origin=ORIGIN)
    _check_architecture(root, described.architecture)
    return root, inputs, app_command.command(root, described, pexes)


def _read(path: Path, item: AppItem, spool: Spool, *, is_pex: bool) -> tuple[Tree, str]:
    """Return what an item brings, and the folder of the image that it is laid into."""
    origin = f"target:{item.target}"
    if item.kind == "archive":
        kind = zipped if path.suffix == ".zip" else tarred
        return kind.read(path, spool, origin=origin), _APP
    laid_as = f"{_APP}/{item.laid_as}"
    if is_pex:
        return pex.read(path, spool, origin=origin), laid_as
    if path.is_dir():
        return directory.read(path, origin=origin), laid_as
    content = whole(path)
    mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
    return Tree([Entry(item.laid_as, Kind.FILE, mode, content=content, origin=origin)]), _APP


def _input(brought: Tree, item: AppItem) -> Input:
    """Return an item as an input: the digest of a single file, else that of the list of what was unpacked.

    The file that was unpacked is no measure: the modes and times in it are those of the machine that zipped it, and
    nothing of them reaches the image.
    """
    single = brought.get(item.laid_as) if item.kind != "archive" and len(brought) == 1 else None
    if single is None or single.content is None:
        return folder_input("target", item.target, brought)
    return Input("target", item.target, content_sha256(single.content), single.content.size)


def _check_architecture(root: Tree, architecture: str) -> None:
    """Refuse an app or a base with programs of another machine: they would fail only when they run."""
    for entry in root:
        machine = elf.machine(entry.content.head(elf.HEADER_SIZE)) if entry.content else None
        if machine not in (None, architecture):
            raise EnclaverError(
                f"the file from {entry.origin} is for {machine}, the image is for {architecture}",
                place="/" + printable(entry.path),
                cure="Build it for the image's architecture (a pex_binary: complete_platforms), or change the image's.",
            )
