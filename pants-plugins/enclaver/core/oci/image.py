"""An image's archive as a tree and a configuration: what an enclave runs when its app is an image."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import compression, docker_save, layer, layout, overlay, tar_header
from enclaver.core.oci.config import ImageConfig
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.files import SPOOL, Files, Folder, opened
from enclaver.core.oci.layer import Unpacked
from enclaver.core.oci.layer_cache import LayerCache
from enclaver.core.oci.limits import Budget
from enclaver.core.oci.overlay import Overlay
from enclaver.core.oci.resolved import Resolved
from enclaver.core.oci.stream import Chunks
from enclaver.core.rootfs.entry import path_bytes, printable
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.tree import Tree

# zlib, zstd and hashlib release the interpreter's lock; beyond a few, what is left of Python's own work sets the pace,
# and every thread may hold a zstd window.
_THREADS: Final = 3


@dataclass(frozen=True, slots=True)
class Image:
    """An image, unpacked.

    Args:
        digest: the sha256 of its configuration, which docker calls the image's id: the same whatever way it comes.
        size: of its configuration, in bytes.
        config: how its program runs.
        root: mode, user and group of its root folder, which has no entry in the tree.
        tree: its files; contents lie in the archive itself or in the work folder.
        dropped: paths and pax keywords of the extended attributes that were left out.
    """

    digest: Digest
    size: int
    config: ImageConfig
    root: tuple[int, int, int]
    tree: Tree
    dropped: tuple[tuple[str, str], ...]


def read(
    path: Path,
    work: Path,
    *,
    architecture: str,
    reference: str | None = None,
    drop_xattrs: bool = False,
    cache: LayerCache | None = None,
) -> Image:
    """Read an image.

    Args:
        path: an OCI layout (a folder), or an archive of one or of `docker save`, also compressed.
        work: an empty folder for what is unpacked; it must stay as long as the tree is used.
        architecture: the enclave's: ``x86_64`` or ``aarch64``.
        reference: which image, by the name it was saved under; needed where the archive holds several.
        drop_xattrs: leave out extended attributes, file capabilities among them, which a ramdisk cannot hold.
        cache: where unpacked layers are kept; with one, the tree's contents lie there too.

    Raises:
        EnclaverError: it is no such thing, is damaged, is not what its digests say, is for another machine, or holds
            what an enclave's file system cannot; ``file`` is the path.
    """
    with opened(path, work) as files:
        resolved = _resolve(files, architecture, reference)
        merged = Overlay()
        for unpacked in _layers(resolved, work, cache):
            merged.apply(unpacked)
        dropped = _xattrs(merged)
        if dropped and not drop_xattrs:
            place, keyword = dropped[0]
            raise EnclaverError(
                f"has the extended attribute {keyword}, which a ramdisk cannot hold",
                place=place,
                cure="Remove it in the image (setcap -r, setfattr -x), or leave all of them out: drop_xattrs=True.",
            )
        root = (merged.root.mode, merged.root.uid, merged.root.gid)
        return Image(resolved.digest, resolved.size, resolved.config, root, overlay.tree(merged), dropped)


def identify(path: Path, work: Path, *, architecture: str, reference: str | None = None) -> Resolved:
    """Find an image whole; its layers' digests are not checked yet. Arguments and errors as of ``read``."""
    with opened(path, work) as files:
        return _resolve(files, architecture, reference)


def is_image(path: Path, work: Path) -> bool:
    """Whether a file is an image's archive, or a folder an OCI layout.

    Args:
        path: as for ``read``.
        work: a folder for what a compressed one unpacks to; nothing stays there.

    Raises:
        EnclaverError: it is a tar file, and damaged.
    """
    if not (path.is_dir() or _is_tar(path)):
        return False
    try:
        with opened(path, work) as files:
            return any(files.find(mark) is not None for mark, _ in _forms(files))
    finally:
        (work / SPOOL).unlink(missing_ok=True)


def _is_tar(path: Path) -> bool:
    """Whether a file, unpacked, begins as a tar file does."""
    content = whole(path)
    try:
        chunks = compression.unpacked(content, compression.detect(content), lambda _chunk: None)
        tar_header.parse(Chunks(chunks).take(tar_header.BLOCK))
    except (EnclaverError, struct.error):
        return False
    return True


def _forms(files: Files) -> list[tuple[str, Callable[..., Resolved]]]:
    """Return what files may be, by what marks it. A folder is never docker's: that names its files itself, anywhere."""
    forms: list[tuple[str, Callable[..., Resolved]]] = [(layout.MARKER, layout.resolve)]
    return forms if isinstance(files, Folder) else [*forms, (docker_save.MANIFEST, docker_save.resolve)]


def _resolve(files: Files, architecture: str, reference: str | None) -> Resolved:
    for mark, resolve in _forms(files):
        if files.find(mark) is not None:
            return resolve(files, architecture=architecture, reference=reference)
    raise EnclaverError(
        f"is no image: it has neither {layout.MARKER} nor {docker_save.MANIFEST}",
        cure="Make it with `docker save`, `skopeo copy IMAGE oci-archive:FILE` or `docker buildx build -o type=oci`.",
    )


def _layers(resolved: Resolved, work: Path, cache: LayerCache | None) -> Iterator[Unpacked]:
    """Yield all layers, some of them read at once; of several errors it is the lowest layer's that is raised."""
    budget = Budget()
    with ThreadPoolExecutor(min(_THREADS, len(resolved.layers)) or 1) as pool:
        waiting = [
            pool.submit(layer.read, one, work / f"layer-{number}", budget, cache)
            for number, one in enumerate(resolved.layers, start=1)
        ]
        try:
            for one in waiting:
                yield one.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _xattrs(merged: Overlay) -> tuple[tuple[str, str], ...]:
    """Return the extended attributes of what the layers come to, sorted by path."""
    found = [(path, keyword) for path, inode in merged.entries() for keyword in inode.xattrs]
    return tuple((printable(path), keyword) for path, keyword in sorted(found, key=lambda one: path_bytes(one[0])))
