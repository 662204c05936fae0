"""An app that is an image: its files are the whole root file system, and its configuration says how it runs."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enclaver.build.app_command import DEFAULT_PATH, check_format, may_execute
from enclaver.build.app_spec import AppDescription
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.runtime_config import AppSpec
from enclaver.core.oci import image, layout, user
from enclaver.core.oci.config import ImageConfig
from enclaver.core.oci.layer_cache import LayerCache
from enclaver.core.oci.user import User
from enclaver.core.rootfs import elf, lookup
from enclaver.core.rootfs.entry import ORIGIN, Entry, Kind, printable
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input


@dataclass(frozen=True, slots=True)
class ImageApp:
    """An image as an app: its root folder (mode, user, group) and all below, what it is made of, how it is started."""

    folder: tuple[int, int, int]
    root: Tree
    source: Input
    spec: AppSpec


def find(described: AppDescription, folder: Path, work: Path) -> Path | None:
    """Return the image that an app is: an archive that is all of it, or the folder of an OCI layout; None for others.

    What an `archive` target packs is none: it is unpacked into /app. Nor is a file among others.

    Raises:
        EnclaverError: the only file is a tar file, and damaged.
    """
    items = described.items
    if not items or any(item.kind == "archive" for item in items):
        return None
    path = folder / items[0].path
    if len(items) > 1:
        markers = [item for item in items if posixpath.basename(item.laid_as) == layout.MARKER]
        if len(markers) != 1:
            return None
        path = (folder / markers[0].path).parent
        if not all((folder / item.path).is_relative_to(path) for item in items):
            return None
    if not path.exists():
        return None  # Whoever reads it says so.
    with _named(described):
        return path if image.is_image(path, work) else None


def read(path: Path, described: AppDescription, work: Path, cache: Path | None = None) -> ImageApp:
    """Read an image as the app.

    Args:
        path: as ``find`` found it.
        described: what its target says; that goes before what the image says.
        work: a folder for what is unpacked; the tree's contents lie there, or in the cache.
        cache: a folder where unpacked layers are kept.

    Raises:
        EnclaverError: the image is refused (``image.read``), or cannot be run.
    """
    with _named(described):
        found = image.read(
            path,
            work,
            architecture=described.architecture,
            drop_xattrs=described.drop_xattrs,
            cache=LayerCache(cache) if cache else None,
        )
        spec = _spec(found.tree, found.config, described)
    source = Input("image", described.items[0].target, found.digest.hex, found.size)
    return ImageApp(found.root, found.tree, source, spec)


@contextmanager
def _named(described: AppDescription) -> Iterator[None]:
    """Name the app's target in errors, not the file of a sandbox."""
    try:
        yield
    except EnclaverError as error:
        error.file = described.items[0].target
        raise


def _spec(root: Tree, config: ImageConfig, described: AppDescription) -> AppSpec:
    """Return how the app is started: as by an engine that is given `entrypoint` and `args` on its command line."""
    entrypoint = described.entrypoint or config.entrypoint
    # An entrypoint that is given anew leaves the image's Cmd behind: that was meant for the image's own.
    cmd = () if described.entrypoint else config.cmd
    argv = (*entrypoint, *(described.args or cmd))
    if not argv or not argv[0]:
        raise EnclaverError(
            "the image says neither by Entrypoint nor by Cmd what to run", cure="Set `entrypoint` on the enclave_image."
        )
    runs_as = user.resolve(root, config.user)
    env = {"PATH": DEFAULT_PATH, "HOME": runs_as.home, **config.env, **described.env}
    _make_folder(root, config.working_dir)
    _check_program(root, argv[0], config.working_dir, env, runs_as, described.architecture)
    return AppSpec(argv, env, config.working_dir, runs_as.uid, runs_as.gid, config.stop_signal)


def _make_folder(root: Tree, path: str) -> None:
    """Make the working folder where the image lacks it, as engines do when they start it."""
    found = lookup.resolve(root, path)
    if found is not None and found.kind is not Kind.DIRECTORY:
        raise EnclaverError("is the image's `WorkingDir` and no folder", place=printable(path))
    if path == "/" or found is not None:
        return
    root.add_directory(path[1:], origin=ORIGIN)
    root.ensure_parents(origin=ORIGIN)


def _check_program(root: Tree, name: str, cwd: str, env: Mapping[str, str], runs_as: User, architecture: str) -> None:
    """Refuse a program that the image doesn't have, or that could not be started."""
    folders = [cwd] if "/" in name else [folder or cwd for folder in env["PATH"].split(":")]
    owner = (runs_as.uid, runs_as.gid)
    for folder in folders:
        path = posixpath.join(folder, name)
        entry = lookup.resolve(root, posixpath.join(cwd, path))
        if entry is not None and may_execute(root, entry, *owner):
            _check_machine(root, entry, path, architecture)
            check_format(root, path, entry, cwd=cwd, owner=owner)
            return
    where = "" if "/" in name else f" in its PATH ({printable(env['PATH'])})"
    raise EnclaverError(
        f"the image has no {printable(name)}{where} that its user {runs_as.uid} may execute",
        cure="Set `entrypoint` on the enclave_image to a program of the image, by its absolute path.",
    )


def _check_machine(root: Tree, entry: Entry, path: str, architecture: str) -> None:
    """Refuse a program of another machine. Other files of an image may be of any: packages bring them for many."""
    machine = elf.machine(root.content(entry).head(elf.HEADER_SIZE))
    if machine not in (None, architecture):
        raise EnclaverError(f"is for {machine}, the enclave is for {architecture}", place=printable(path))
