"""What each stage is given and what it leaves: the one place that knows the stages' arguments and file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Tuple

from pants.engine.fs import Digest
from pants.engine.process import ProcessCacheScope
from pants.util.frozendict import FrozenDict

from enclaver.util_rules import progress
from enclaver.util_rules.tool import Stage

if TYPE_CHECKING:
    from enclaver.util_rules.signing import Signing

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
# An app that is a container image, as a file of its own. No file of a repository has a name like this.
APP_IMAGE = "container image.tar"
IMAGES_LOCK = "enclave.images.lock"
RUNTIME = "runtime"
TREE = ("tree.cpio", "tree.json")
BOOT = ("boot.cpio", "boot.json")
ROOTFS = ("app.cpio", "app.entries.json")
IMAGE = "image"
SOURCES = "sources"
NITRO_IMAGE = ("nitro.tar", "nitro.json")
NITRO_CLI = "nitro-cli"
VHOST = "vhost-device-vsock"

# Verified packages stay here across builds and lock changes; a stage trusts none of it before it has its hash.
_DOWNLOADS = FrozenDict({"enclaver_downloads": ".cache/enclaver"})
_DOWNLOADS_PATH = ".cache/enclaver"
# Layers of container images, unpacked, so that a change in one costs no more than that one.
_LAYERS = FrozenDict({"enclaver_layers": ".cache/layers"})
_LAYERS_PATH = ".cache/layers"


def read_manifest(manifest: Digest, path: str) -> Stage:
    """Parse the manifest at a path: ``manifest.json`` out."""
    return Stage(
        name="manifest",
        argv=("--manifest", path, "--output", REPORT),
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


def fetch_image(
    lock: Digest, image: str, architecture: str, env: FrozenDict[str, str], insecure: Tuple[str, ...]
) -> Stage:
    """Fetch a container image as its lock pins it: ``enclave.images.lock`` in, ``container image.tar`` out."""
    return Stage(
        name="fetch_image",
        argv=(
            *("--lock", IMAGES_LOCK, "--reference", image, "--architecture", architecture),
            *("--output", APP_IMAGE, "--cache", _DOWNLOADS_PATH, *insecure_registries(insecure)),
        ),
        inputs=(lock,),
        description=f"Fetch the image {image}",
        output_files=(APP_IMAGE,),
        caches=_DOWNLOADS,
        network=True,
        env=env,
    )


def insecure_registries(hosts: Tuple[str, ...]) -> Tuple[str, ...]:
    """Return the arguments that name the registries that may be spoken with by plain http."""
    return tuple(word for host in hosts for word in ("--insecure-registry", host))


def save_image(image_id: str, what: str, env: FrozenDict[str, str]) -> Stage:
    """Take a container image from the docker daemon: ``container image.tar`` out."""
    return Stage(
        name="save_image",
        argv=("--image-id", image_id, "--output", APP_IMAGE),
        inputs=(),
        description=f"Take the image of {what} from the docker daemon",
        output_files=(APP_IMAGE,),
        env=env,
    )


def lock_images(
    manifests: Digest,
    paths: Tuple[str, ...],
    existing: bool,
    architectures: Tuple[str, ...],
    upgrade: bool,
    env: FrozenDict[str, str],
    insecure: Tuple[str, ...],
) -> Stage:
    """Pin the images that manifests name: the lock there is, if there is one, in, ``enclave.images.lock`` out."""
    return Stage(
        name="lock_images",
        argv=(
            *(word for path in paths for word in ("--manifest", path)),
            *(word for architecture in architectures for word in ("--architecture", architecture)),
            *(("--existing", IMAGES_LOCK) if existing else ()),
            *(("--upgrade",) if upgrade else ()),
            *("--output", IMAGES_LOCK, *insecure_registries(insecure)),
        ),
        inputs=(manifests,),
        description=f"Pin the images of {', '.join(paths)}",
        output_files=(IMAGES_LOCK,),
        network=True,
        env=env,
        # What a tag means is for a registry to say, and it may say something else tomorrow.
        cache_scope=ProcessCacheScope.PER_SESSION,
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
    tree: Digest | None, app: Tuple[Digest, Digest], manifest: Tuple[Digest, Digest], path: str, what: str
) -> Stage:
    """Make ramdisk 1: base tree in, ``app.cpio`` and ``app.entries.json`` out.

    Args:
        tree: the base's; None for an app that is a container image.
        app: its files and its spec.
        manifest: the manifest, which lies at ``path``, and the files that it names.
        path: the manifest's.
        what: the image, for people.
    """
    return Stage(
        name="app",
        argv=(
            *(("--tree", TREE[0], "--entries", TREE[1]) if tree else ()),
            *("--app", APP, "--spec", APP_SPEC, "--manifest", path),
            *("--cpio", ROOTFS[0], "--cpio-entries", ROOTFS[1], "--cache", _LAYERS_PATH),
        ),
        inputs=(*((tree,) if tree else ()), *app, *manifest),
        description=f"Make the app ramdisk of {what}",
        output_files=ROOTFS,
        caches=_LAYERS,
    )


def check_signing(inputs: Tuple[Digest, ...], path: str, who: Signing, env: FrozenDict[str, str]) -> Stage:
    """Check that an image can be signed: the manifest and the certificate in, nothing out."""
    return Stage(
        name="check_signing",
        argv=("--manifest", path, "--certificate", who.path, "--key", who.key),
        inputs=inputs,
        description=f"Check the signature of {path}",
        network=who.in_kms,
        env=env if who.in_kms else FrozenDict(),
        # The day counts, and the key, which is not among the inputs.
        cache_scope=ProcessCacheScope.PER_SESSION,
    )


def image(
    kernel: Digest,
    boot: Digest,
    app: Digest,
    manifest: Digest,
    *,
    path: str,
    architecture: str,
    signing: Signing | None,
    env: FrozenDict[str, str],
    output: str,
    what: str,
) -> Stage:
    """Assemble the EIF: kernel and ramdisks in, ``OUTPUT.eif``, ``.pcrs.json`` and ``.materials.json`` out."""
    in_kms = signing is not None and signing.in_kms
    return Stage(
        name="image",
        argv=(
            *("--kernel", KERNEL, "--boot", *BOOT, "--app", *ROOTFS, "--manifest", path),
            *("--architecture", architecture, *_signing(signing), "--output", output),
        ),
        inputs=(kernel, boot, app, manifest, *((signing.certificate,) if signing else ())),
        description=f"Assemble {what}",
        output_files=_image_files(output),
        # A key in a file needs neither: whose home it is would only keep machines from sharing what they have built.
        network=in_kms,
        env=env if in_kms else FrozenDict(),
    )


def _signing(signing: Signing | None) -> Tuple[str, ...]:
    return ("--signing-certificate", signing.path, "--signing-key", signing.key) if signing else ()


def _image_files(output: str) -> Tuple[str, ...]:
    return tuple(output + ending for ending in (".eif", ".pcrs.json", ".materials.json"))


def nitro_image(boot: Digest, app: Digest, architecture: str, what: str) -> Stage:
    """Make the docker image that nitro-cli builds from: both ramdisks in, ``nitro.tar`` and ``nitro.json`` out."""
    return Stage(
        name="nitro_image",
        argv=(
            *("--boot", *BOOT, "--app", *ROOTFS, "--architecture", architecture),
            *("--output", NITRO_IMAGE[0], "--entries", NITRO_IMAGE[1]),
        ),
        inputs=(boot, app),
        description=f"Make the docker image of {what}",
        output_files=NITRO_IMAGE,
    )


def nitro_build(
    image: Digest,
    kernel: Digest,
    manifest: Digest,
    program: Digest | None,
    *,
    path: str,
    architecture: str,
    signing: Signing | None,
    env: FrozenDict[str, str],
    output: str,
    what: str,
) -> Stage:
    """Have nitro-cli build: the docker image and the blobs in, what ``image`` leaves out.

    Args:
        kernel: the blobs, as ``kernel/``.
        program: nitro-cli, under its name; None for the one on PATH.
    """
    return Stage(
        name="nitro_build",
        argv=(
            *("--image", *NITRO_IMAGE, "--blobs", KERNEL, "--manifest", path, "--architecture", architecture),
            *(("--nitro-cli", NITRO_CLI) if program else ()),
            *(*_signing(signing), "--output", output),
        ),
        inputs=(
            *(image, kernel, manifest, *((program,) if program else ())),
            *((signing.certificate,) if signing else ()),
        ),
        description=f"Have nitro-cli build {what}",
        output_files=_image_files(output),
        network=True,
        env=env,
        # A program that is found on PATH is no input; it may be another one tomorrow.
        cache_scope=ProcessCacheScope.SUCCESSFUL if program else ProcessCacheScope.PER_SESSION,
    )


def target_image(
    tree: Digest,
    wheels: Tuple[Digest, Digest],
    sources: Digest,
    enclave: Tuple[Digest, Digest],
    *,
    programs: Digest,
    names: Tuple[str, ...],
    emulator: bool,
    manifest: str,
    reference: str,
    output: str,
    what: str,
) -> Stage:
    """Write the target image: the runner's tree, the command and ``OUTPUT.eif`` in, ``OUTPUT.image.tar`` out.

    Args:
        enclave: the EIF with what lies beside it, and its manifest.
        programs: what the options name.
        names: their names there.
    """
    return Stage(
        name="target_image",
        argv=(
            *("--tree", TREE[0], "--entries", TREE[1], "--wheels", WHEELS, "--wheel-lock", WHEEL_LOCK),
            *("--sources", SOURCES, "--eif", output + ".eif", "--manifest", manifest),
            *(word for name in names for word in (f"--{name}", name)),
            *(("--emulator",) if emulator else ()),
            *("--name", reference, "--output", output),
        ),
        inputs=(tree, *wheels, sources, *enclave, programs),
        description=f"Write the target image of {what}",
        output_files=(output + ".image.tar",),
    )
