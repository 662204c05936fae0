"""The ramdisks of an image without Pants: fetched and made in a folder, with the stages that Pants runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.build import app, app_spec, boot, debian, shipped
from enclaver.build.image import Ramdisk, TreeRamdisk
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import content_sha256
from enclaver.core.rootfs.regular import whole
from enclaver.system import wheels
from enclaver.system.partial import locked
from enclaver.system.scratch import scratch_folder

#: Debian's names for the architectures.
DEBIAN: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_WHEEL_LOCK: Final = "runtime.lock"
# Says which wheels a folder had when all of them had come.
_LISTING: Final = "SHA256SUMS"
#: What an app that is a container image is called in the folder of the app; as under Pants, where it shows in nothing.
APP_IMAGE: Final = "container image.tar"


@dataclass(frozen=True, slots=True)
class Fetching:
    """Where what an image is made of comes from.

    Args:
        cache: a folder for what was fetched, kept from build to build.
        mirrors: of Debian's archive, as ``debian.fetch`` takes them.
        indexes: package indexes for the runtime's wheels; pip's own default when empty.
        progress: called with lines.
    """

    cache: Path
    mirrors: Sequence[str]
    indexes: Sequence[str]
    progress: Callable[[str], None]

    @property
    def downloads(self) -> Path:
        """The folder of Debian packages, by their digests."""
        return self.cache / "downloads"


def debian_tree(name: str, work: Path, fetching: Fetching) -> tuple[Path, Path]:
    """Fetch and unpack the packages of a lock that ships; return archive and entries. Raises EnclaverError."""
    lock = shipped.lock(f"{name}.lock.json")
    debs, tree = work / f"{name}.debs", (work / f"{name}.cpio", work / f"{name}.json")
    debian.fetch(lock=lock, output=debs, cache=fetching.downloads, mirrors=fetching.mirrors, progress=fetching.progress)
    debian.tree(lock=lock, debs=debs, cpio=tree[0], entries=tree[1])
    return tree


def runtime_wheels(fetching: Fetching) -> tuple[Path, Path]:
    """Fetch the runtime's wheels, once for a release; return their folder and their lock. Raises EnclaverError."""
    lock = shipped.lock(_WHEEL_LOCK)
    output = fetching.cache / "wheels" / hashlib.sha256(lock.read_bytes()).hexdigest()
    output.parent.mkdir(parents=True, exist_ok=True)
    lock_file = output.with_name(f"{output.name}.lock")
    with locked(lock_file, waiting=lambda: fetching.progress("waiting for the wheels that another build fetches")):
        if not _is_whole(output):
            fetching.progress("fetching the runtime's wheels")
            with scratch_folder(output.parent, prefix=".wheels-") as work:
                fetched = work / "wheels"
                wheels.download(lock, fetched, indexes=fetching.indexes)
                (fetched / _LISTING).write_text(_listing(fetched), encoding="utf-8")
                if output.exists():
                    output.rename(work / "damaged")
                fetched.rename(output)
    return output, lock


def _listing(folder: Path) -> str:
    return "".join(f"{content_sha256(whole(path))}  {path.name}\n" for path in sorted(folder.glob("*.whl")))


def _is_whole(folder: Path) -> bool:
    """Whether a folder has the wheels that it had at first: without one of them, ramdisk 0 would be another."""
    try:
        return (folder / _LISTING).read_text(encoding="utf-8") == _listing(folder)
    except (EnclaverError, OSError, ValueError):
        return False


def boot_ramdisk(architecture: str, kernel: Path, work: Path, fetching: Fetching) -> Ramdisk:
    """Make ramdisk 0 from what ships with the tool. Raises EnclaverError."""
    tree = debian_tree(f"runtime.{DEBIAN[architecture]}", work, fetching)
    folder, lock = runtime_wheels(fetching)
    output = work / "boot.cpio", work / "boot.entries.json"
    fetching.progress("making the boot ramdisk")
    boot.boot(
        tree=tree,
        wheels=folder,
        wheel_lock=lock,
        runtime=shipped.sources(shipped.RUNTIME, work / "runtime"),
        kernel=kernel,
        output=output,
    )
    return Ramdisk("boot", *output)


@contextmanager
def app_ramdisk(
    image: Path, reference: str, *, architecture: str, drop_xattrs: bool, manifest: Path, work: Path, cache: Path
) -> Iterator[TreeRamdisk]:
    """Yield ramdisk 1 of a container image, for as long as the block lasts.

    Args:
        image: its archive.
        reference: what the manifest calls it.
        manifest: the manifest; the files that it names lie in its folder.
        work: a folder for what is made.
        cache: a folder where the image's layers are kept, unpacked.

    Raises:
        EnclaverError: as ``app.made``.
    """
    folder, spec = work / "app", work / "app.json"
    folder.mkdir()
    (folder / APP_IMAGE).symlink_to(image.absolute())
    described = {
        "version": app_spec.VERSION,
        "architecture": architecture,
        "items": [{"path": APP_IMAGE, "as": APP_IMAGE, "kind": "package", "target": reference}],
        "entrypoint": [],
        "args": [],
        "env": {},
        "drop_xattrs": drop_xattrs,
    }
    spec.write_text(json.dumps(described), encoding="utf-8")
    with app.made(tree=None, folder=folder, spec=spec, manifest=manifest, work=work, cache=cache) as (tree, inputs):
        yield TreeRamdisk("app", tree, inputs)
