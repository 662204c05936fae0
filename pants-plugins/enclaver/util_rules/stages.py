"""What each stage is given and what it leaves: the one place that knows the stages' arguments and file names."""

from __future__ import annotations

from typing import Iterable, Tuple

from pants.engine.fs import Digest
from pants.util.frozendict import FrozenDict

from enclaver.util_rules import progress
from enclaver.util_rules.tool import Stage

# Folders and files in the sandboxes. A stage's inputs lie where the stage before left them.
DEBIAN_LOCK = "debian.lock.json"
DEBS = "debs"
WHEELS = "wheels"
WHEEL_LOCK = "runtime.lock"
KERNEL = "kernel"
KERNEL_LOCK = "source.lock.json"
KERNEL_SOURCE = "source"
KERNEL_CONFIG = "kernel.config"
REPORT = "manifest.json"
APP = "app"
APP_SPEC = "app.json"
RUNTIME = "runtime"
TREE = ("tree.cpio", "tree.json")
BOOT = ("boot.cpio", "boot.json")
ROOTFS = ("app.cpio", "app.entries.json")
IMAGE = "image"

# Verified packages stay here across builds and lock changes; a stage trusts none of it before it has its hash.
_DOWNLOADS = FrozenDict({"enclaver_downloads": ".cache/enclaver"})
_DOWNLOADS_PATH = ".cache/enclaver"


def read_manifest(manifest: Digest, path: str, *, app_overridden: bool) -> Stage:
    """Parse the manifest at a path: ``manifest.json`` out."""
    return Stage(
        name="manifest",
        argv=("--manifest", path, "--output", REPORT, *(("--app-overridden",) if app_overridden else ())),
        inputs=(manifest,),
        description=f"Read {path}",
        output_files=(REPORT,),
    )


def fetch_debian(lock: Digest, what: str, mirrors: Tuple[str, ...]) -> Stage:
    """Fetch a lock's packages: ``debian.lock.json`` in, ``debs/`` out."""
    return _fetch("fetch_debian", lock, DEBIAN_LOCK, DEBS, f"Fetch the packages of {what}", mirrors)


def fetch_kernel_source(lock: Digest, what: str, mirrors: Tuple[str, ...]) -> Stage:
    """Fetch the kernel's source package: ``source.lock.json`` in, ``source/`` out."""
    return _fetch("fetch_kernel_source", lock, KERNEL_LOCK, KERNEL_SOURCE, f"Fetch the source of {what}", mirrors)


def _fetch(name: str, lock: Digest, path: str, output: str, description: str, mirrors: Tuple[str, ...]) -> Stage:
    return Stage(
        name=name,
        argv=(
            *("--lock", path, "--output", output, "--cache", _DOWNLOADS_PATH),
            *(word for mirror in mirrors for word in ("--mirror", mirror)),
        ),
        inputs=(lock,),
        description=description,
        output_directories=(output,),
        caches=_DOWNLOADS,
        network=True,
    )


def fetch_wheels(lock: Digest, indexes: Iterable[str], find_links: Iterable[str]) -> Stage:
    """Fetch the runtime's wheels: ``runtime.lock`` in, ``wheels/`` out."""
    return Stage(
        name="fetch_wheels",
        argv=(
            *("--lock", WHEEL_LOCK, "--output", WHEELS),
            *(word for index in indexes for word in ("--index", index)),
            *(word for link in find_links for word in ("--find-links", link)),
        ),
        inputs=(lock,),
        description="Fetch the enclave runtime's wheels",
        output_directories=(WHEELS,),
        network=True,
    )


def debian_tree(packages: Tuple[Digest, Digest], what: str) -> Stage:
    """Unpack a lock's packages: lock and ``debs/`` in, ``tree.cpio`` and ``tree.json`` out."""
    return Stage(
        name="debian_tree",
        argv=("--lock", DEBIAN_LOCK, "--debs", DEBS, "--cpio", TREE[0], "--entries", TREE[1]),
        inputs=packages,
        description=f"Unpack {what}",
        output_files=TREE,
    )


def build_kernel(packages: Tuple[Digest, Digest], source: Tuple[Digest, Digest], config: Digest, what: str) -> Stage:
    """Build a kernel from source: toolchain, source package and configuration in, ``kernel/`` out."""
    return Stage(
        name="kernel",
        argv=(
            *("--toolchain-lock", DEBIAN_LOCK, "--debs", DEBS),
            *("--source-lock", KERNEL_LOCK, "--source", KERNEL_SOURCE),
            *("--config", KERNEL_CONFIG, "--output", KERNEL),
            *("--progress", f".cache/progress/{progress.FILE}"),
        ),
        inputs=(*packages, *source, config),
        description=f"Build {what} from source (minutes)",
        output_directories=(KERNEL,),
        caches=FrozenDict({progress.CACHE: ".cache/progress"}),
    )


def boot_ramdisk(tree: Digest, wheels: Tuple[Digest, Digest], runtime: Digest, kernel: Digest) -> Stage:
    """Make ramdisk 0: Python, wheels and runtime in (and the kernel's nsm.ko), ``boot.cpio`` and ``boot.json`` out."""
    return Stage(
        name="boot",
        argv=(
            *("--tree", TREE[0], "--entries", TREE[1], "--wheels", WHEELS, "--wheel-lock", WHEEL_LOCK),
            *("--runtime", RUNTIME, "--kernel", KERNEL, "--cpio", BOOT[0], "--cpio-entries", BOOT[1]),
        ),
        inputs=(tree, *wheels, runtime, kernel),
        description="Make the boot ramdisk",
        output_files=BOOT,
    )


def app_ramdisk(
    tree: Digest, app: Tuple[Digest, Digest], manifest: Tuple[Digest, Digest], path: str, what: str
) -> Stage:
    """Make ramdisk 1: base tree in, ``app.cpio`` and ``app.entries.json`` out.

    Args:
        tree: the base's.
        app: its files and its spec.
        manifest: the manifest, which lies at ``path``, and the files that it names.
        path: the manifest's.
        what: the image, for people.
    """
    return Stage(
        name="app",
        argv=(
            *("--tree", TREE[0], "--entries", TREE[1], "--app", APP, "--spec", APP_SPEC),
            *("--manifest", path, "--cpio", ROOTFS[0], "--cpio-entries", ROOTFS[1]),
        ),
        inputs=(tree, *app, *manifest),
        description=f"Make the app ramdisk of {what}",
        output_files=ROOTFS,
    )


def image(
    kernel: Digest,
    boot: Digest,
    app: Digest,
    manifest: Digest,
    *,
    path: str,
    architecture: str,
    output: str,
    what: str,
) -> Stage:
    """Assemble the EIF: kernel and ramdisks in, ``OUTPUT.eif``, ``.pcrs.json`` and ``.materials.json`` out."""
    return Stage(
        name="image",
        argv=(
            *("--kernel", KERNEL, "--boot", *BOOT, "--app", *ROOTFS, "--manifest", path),
            *("--architecture", architecture, "--output", output),
        ),
        inputs=(kernel, boot, app, manifest),
        description=f"Assemble {what}",
        output_files=tuple(output + ending for ending in (".eif", ".pcrs.json", ".materials.json")),
    )
