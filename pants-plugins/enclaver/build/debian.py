"""Debian's stages of the pipeline: resolve a lock, fetch its packages, lay them out as a tree or a folder."""

from __future__ import annotations

import hashlib
import lzma
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from enclaver.core.debian import archive, closure, release
from enclaver.core.debian import folder as debian_folder
from enclaver.core.debian import index as packages_index
from enclaver.core.debian import lock as lock_format
from enclaver.core.debian import tree as debian_tree
from enclaver.core.debian.index import PackageIndex
from enclaver.core.debian.lock import Lock, Package
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust import materials
from enclaver.core.trust.materials import Input
from enclaver.system import download, gpgv, mirrors, snapshot
from enclaver.system.atomic import atomic_outputs
from enclaver.system.download import TransferError
from enclaver.system.fetch import Fetcher, Item

Progress = Callable[[str], None]

_RELEASE_LIMIT: Final = 8 << 20
# Debian's largest index unpacks to some 50 MB; the bound stops a file that unpacks without end.
_INDEX_LIMIT: Final = 1 << 30
_TIMEOUT: Final = 30.0
# Suites of Debian that stand alone; every other has updates and security beside it.
_ALONE: Final = ("sid", "unstable", "experimental")


@dataclass(frozen=True, slots=True)
class LockRequest:
    """What a lock is to hold.

    ``packages`` are names, or ``name=version``; ``mirrors`` as mirrors.parse takes them; ``now`` (with a time
    zone) is what Valid-Until is held against, and ``allow_expired`` accepts what is past it.
    """

    suite: str
    architecture: str
    packages: tuple[str, ...]
    mirrors: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    keyring: Path = gpgv.DEBIAN_KEYRING
    now: datetime | None = None
    allow_expired: bool = False


def lock(request: LockRequest, progress: Progress = lambda _: None) -> Lock:
    """Resolve the closure of the requested packages from signed indexes. Raises EnclaverError."""
    index = read_indexes(request, progress)
    packages = closure.resolve(index, request.packages)
    return Lock(request.suite, request.architecture, tuple(sorted(set(request.packages))), tuple(packages))


def read_indexes(request: LockRequest, progress: Progress = lambda _: None) -> PackageIndex:
    """The verified indexes of a suite, its updates and its security updates. Raises EnclaverError."""
    suites = [("debian", request.suite)]
    if request.suite not in _ALONE and not request.suite.endswith("-backports"):
        suites.append(("debian", f"{request.suite}-updates"))
        suites.append(("debian-security", f"{request.suite}-security"))
    parts: list[tuple[str, str, str]] = []
    for kind, suite in suites:
        verified, root = _release(request, kind, suite)
        progress(f"{suite}: signature is good, from {root}")
        for component in request.components:
            file = f"{root}/dists/{suite}"
            wanted = release.packages_index(verified, component=component, architecture=request.architecture, file=file)
            parts.append((kind, f"{file}/{wanted.path}", _index(root, suite, wanted, verified.by_hash)))
    progress("reading the indexes")
    return packages_index.build(request.architecture, parts)


def _release(request: LockRequest, archive: str, suite: str) -> tuple[release.Release, str]:
    """The verified Release file of a suite, and the archive root that served it."""
    reasons: list[str] = []
    for mirror in mirrors.mirrors(request.mirrors, archive=archive):
        url = mirror.url(f"dists/{suite}/InRelease")
        try:
            data = download.read(url, limit=_RELEASE_LIMIT, timeout=_TIMEOUT)
            text = gpgv.verify_clearsigned(data, keyring=request.keyring, file=url)
            found = release.parse(text.decode("utf-8", "replace"), suite=suite, archive=archive, file=url)
            if request.now is not None and not request.allow_expired:
                release.check_valid(found, request.now, file=url)
            return found, mirror.root
        except TransferError as error:
            reasons.append(f"{url}: {error}")
        except EnclaverError as error:
            # A mirror with a bad file is as good as none, if another has a good one.
            reasons.append(f"{url}: {error.what}")
    raise EnclaverError(
        f"no mirror has a good Release file of {suite} ({archive}):\n"
        + ("\n".join(f"    {reason}" for reason in reasons) or "    there is no mirror to ask"),
        cure="Name a mirror with --mirror, or check the suite's name and the network.",
    )


def _index(root: str, suite: str, wanted: release.IndexFile, by_hash: bool) -> str:
    """The text of a Packages index, checked against the Release file before it is unpacked."""
    folder = f"{root}/dists/{suite}"
    # By hash first: that name stays while the mirror moves on to a newer index.
    parent = wanted.path.rpartition("/")[0]
    names = [f"{parent}/by-hash/SHA256/{wanted.sha256}"] if by_hash else []
    reasons = []
    for name in [*names, wanted.path]:
        try:
            data = download.read(f"{folder}/{name}", size=wanted.size, limit=wanted.size, timeout=_TIMEOUT)
        except TransferError as error:
            reasons.append(f"{folder}/{name}: {error}")
            continue
        if hashlib.sha256(data).hexdigest() != wanted.sha256:
            reasons.append(f"{folder}/{name}: its sha256 is not the one that the Release file lists")
            continue
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
        try:
            text = unpacker.decompress(data, max_length=_INDEX_LIMIT)
        except lzma.LZMAError as error:
            reasons.append(f"{folder}/{name}: it is not xz data: {error}")
            continue
        if not unpacker.eof:
            reasons.append(f"{folder}/{name}: it is cut short, or unpacks to over {_INDEX_LIMIT} bytes")
            continue
        return text.decode("utf-8", "replace")
    raise EnclaverError(
        "the index could not be fetched:\n" + "\n".join(f"    {reason}" for reason in reasons),
        cure="Try again in some minutes if the mirror is being updated, or name another with --mirror.",
    )


def fetch_packages(
    packages: Sequence[Package],
    *,
    output: Path,
    cache: Path,
    mirrors: Sequence[str] = (),
    progress: Progress = lambda _: None,
) -> list[Path]:
    """Fetch packages by digest to ``output/SHA256.deb``, in their order. Raises EnclaverError."""
    roots = {archive: _mirrors(mirrors, archive) for archive in sorted({p.archive for p in packages})}
    items = [_item(package, roots[package.archive]) for package in packages]
    return Fetcher(cache, progress=progress).fetch(items, output)


def fetch(
    *,
    lock: Path,
    output: Path,
    cache: Path,
    mirrors: Sequence[str] = (),
    progress: Progress = lambda _: None,
) -> list[Path]:
    """Fetch everything a lock lists; see ``fetch_packages``."""
    packages = lock_format.load(lock).packages
    return fetch_packages(packages, output=output, cache=cache, mirrors=mirrors, progress=progress)


def _mirrors(named: Sequence[str], archive: str) -> list[mirrors.Mirror]:
    return mirrors.mirrors(named, archive=archive)


def _item(package: Package, roots: Sequence[mirrors.Mirror]) -> Item:
    places = [(mirror.root, partial(mirror.url, package.path)) for mirror in roots]

    def from_snapshot() -> str:
        return snapshot.locate(
            package.name,
            package.version,
            file_name=package.path.rpartition("/")[2],
            size=package.size,
            timeout=_TIMEOUT,
            root=snapshot.ROOT,
        )

    return Item(package.label, package.sha256, package.size, (*places, (snapshot.ROOT, from_snapshot)))


def read_packages(packages: Sequence[Package], debs: Path, spool: Path) -> Tree:
    """One tree of the packages in ``debs`` (``SHA256.deb``), whose contents come to lie in the folder ``spool``.

    Each file is held against its digest first. Raises EnclaverError.
    """

    def one(package: Package) -> Tree:
        deb = debs / f"{package.sha256}.deb"
        archive.verify(deb, package)
        data = spool / f"{package.sha256}.tar"
        with data.open("wb") as out:
            archive.unpack_data(deb, out)
        return archive.read_data(data, origin=f"deb:{package.label}", deb=deb)

    # Hashing and unpacking leave the interpreter's lock alone, so threads do. Large packages go first.
    order = sorted(packages, key=lambda package: (-package.size, package.name))
    with ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="unpack") as pool:
        futures = {package.name: pool.submit(one, package) for package in order}
        try:
            return debian_tree.assemble(futures[package.name].result() for package in packages)
        finally:
            for future in futures.values():
                future.cancel()


def tree(*, lock: Path, debs: Path, cpio: Path, entries: Path, progress: Progress = lambda _: None) -> None:
    """Write a lock's tree as an intermediate tree (materials.write_tree). Raises EnclaverError."""
    packages = lock_format.load(lock).packages
    with tempfile.TemporaryDirectory(prefix=".debian-", dir=cpio.parent) as spool:
        found = read_packages(packages, debs, Path(spool))
        progress(f"{len(packages)} packages, {sum(1 for _ in found)} entries")
        inputs = [Input("deb", p.name, p.sha256, p.size, p.version) for p in packages]
        with atomic_outputs([cpio, entries]) as (archive_file, entries_file):
            materials.write_tree(found, inputs, archive_file, entries_file)


def unpack(*, lock: Path, debs: Path, folder: Path, progress: Progress = lambda _: None) -> None:
    """Lay a lock's tree out in an empty folder, owners as in the packages when run as root.

    The same tree as ``tree`` gives: merged /usr, no documentation, no maintainer scripts. Raises EnclaverError.
    """
    packages = lock_format.load(lock).packages
    folder.parent.mkdir(parents=True, exist_ok=True)
    progress(f"unpacking {len(packages)} packages")
    with tempfile.TemporaryDirectory(prefix=".debian-", dir=folder.parent) as spool:
        found = read_packages(packages, debs, Path(spool))
        debian_folder.write(found, folder, owners=os.geteuid() == 0)
    progress(f"unpacked {len(found)} entries")
