"""An image's archive to an EIF: 1 GB, 20 layers, 30,000 files, against umoci, cpio and eif_build one after the other.

    ./pants run benchmarks:image_to_eif [-- --runs N] [--mb N] [--form oci|docker-save]

Both start from the same archive, an OCI one with gzipped layers unless told otherwise, and end with a measured EIF of
the same kernel and boot ramdisk. umoci reads no archives: for it, tar unpacks the OCI one, and skopeo makes a layout of
the other. Then one file in the top layer changes, and the image is built again with the layers that were kept: beside
what it takes to read the finished image and to measure it, which no build can leave out. That is seconds of two cores,
which hash at once; its seconds of CPU are what the hashing takes on one.

The last line is one JSON object; ``peer`` is null where a program is not installed. umoci needs root.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import shutil
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "pants-plugins")]

from benchmarks.eif_assembly import CMDLINE, find_eif_build, make  # noqa: E402  (The paths above come first.)
from benchmarks.measure import Run, run, summary  # noqa: E402

MIB = 1 << 20
LAYERS, FILES = 20, 30_000
BOOT_MB = 40
# Every layer also writes this many files of the one below anew, and hides as many.
CHANGED = 20
TAG = "app"
_OCI = "application/vnd.oci.image"
_ANNOTATION = "org.opencontainers.image"
_WORDS = b" ".join(random.Random("words").choices([b"%x" % (number * 7919) for number in range(500)], k=1 << 14))


def contents(dice: random.Random, size: int) -> Iterator[bytes]:
    """Yield a file's content: a quarter noise, the rest words, so that gzip halves it, as it does programs."""
    while size > 0:
        piece = dice.randbytes(1024)
        start = dice.randrange(len(_WORDS) - 3072)
        piece = (piece + _WORDS[start : start + 3072])[:size]
        yield piece
        size -= len(piece)


def make_layer(path: Path, number: int, size: int, packed: bool, changed: bool = False) -> tuple[str, str]:
    """Write a layer, or one in which a file is another; return the digests of its blob and of what it unpacks to."""
    dice = random.Random(number)
    count = FILES // LAYERS
    names = [f"usr/lib/layer{number}/part{index % 40}/file{index}" for index in range(count - 2 * CHANGED)]
    if number:
        below = f"usr/lib/layer{number - 1}/part"
        names += [f"{below}{index}/file{index}" for index in range(CHANGED)]
        names += [f"{below}{index}/.wh.file{index}" for index in range(CHANGED, 2 * CHANGED)]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, 0 if ".wh." in name else int(size / count * 2 * dice.random())
            content = b"".join(contents(dice, info.size))
            if changed and name == names[0]:
                content = content[::-1]
            archive.addfile(info, BytesIO(content))
    diff_id = sha256(path)
    if packed:
        plain = path.rename(path.with_suffix(".plain"))
        with plain.open("rb") as source, gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as out:
            shutil.copyfileobj(source, out, MIB)
        plain.unlink()
    return sha256(path), diff_id


def sha256(path: Path) -> str:
    """A file's digest (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_images(folder: Path, size: int, form: str) -> tuple[Path, Path]:
    """Write an image's archive, and that of the image in which one file of the top layer is another."""
    layers = [folder / f"layer{number}" for number in range(LAYERS)]
    top = folder / "changed"
    packed = form == "oci"
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(make_layer, path, number, size // LAYERS, packed) for number, path in enumerate(layers)]
        change = pool.submit(make_layer, top, LAYERS - 1, size // LAYERS, packed, True)
        digests = [job.result() for job in jobs]
        changed = change.result()
    first = write_archive(folder / "image.tar", list(zip(layers, digests, strict=True)), form)
    second = [*zip(layers[:-1], digests[:-1], strict=True), (top, changed)]
    archives = first, write_archive(folder / "changed.tar", second, form)
    for path in (*layers, top):
        path.unlink()
    return archives


def write_archive(archive: Path, layers: list[tuple[Path, tuple[str, str]]], form: str) -> Path:
    """Write an image's archive of layers with their digests."""
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Entrypoint": ["/usr/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for _, (_, diff_id) in layers]},
        }
    ).encode()
    with tarfile.open(archive, "w") as out:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, BytesIO(data))

        if form == "docker-save":
            names = [f"{path.name}/layer.tar" for path, _ in layers]
            for (path, _), name in zip(layers, names, strict=True):
                out.add(path, name)
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            add(config_name, config)
            add("manifest.json", json.dumps([{"Config": config_name, "RepoTags": [TAG], "Layers": names}]).encode())
            return archive
        blobs = [
            {"mediaType": f"{_OCI}.layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": path.stat().st_size}
            for path, (digest, _) in layers
        ]
        for path, (digest, _) in layers:
            out.add(path, f"blobs/sha256/{digest}")

        def blob(data: bytes, media_type: str) -> dict[str, object]:
            digest = hashlib.sha256(data).hexdigest()
            add(f"blobs/sha256/{digest}", data)
            return {"mediaType": f"{_OCI}.{media_type}.v1+json", "digest": f"sha256:{digest}", "size": len(data)}

        manifest = {"schemaVersion": 2, "config": blob(config, "config"), "layers": blobs}
        top = {**blob(json.dumps(manifest).encode(), "manifest"), "annotations": {f"{_ANNOTATION}.ref.name": TAG}}
        add("index.json", json.dumps({"schemaVersion": 2, "manifests": [top]}).encode())
        add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    return archive


def ours(archive: Path, kernel: Path, boot: Path, work: Path, *cache: Path) -> Run:
    """What a build does, in a fresh interpreter: its start counts."""
    return fresh("--child", archive, kernel, boot, work, *cache)


def fresh(*arguments: str | Path) -> Run:
    """Run this file in a fresh interpreter."""
    return run([sys.executable, __file__, *arguments], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def measured(eif: Path) -> None:
    """Read an image and measure it, as a verifier does."""
    from enclaver.core.eif.reader import read

    read(eif)


def child(archive: Path, kernel: Path, boot: Path, work: Path, cache: Path | None = None) -> None:
    """Read the image, write the EIF, measured, and the list of what is in it: as ``enclaver build`` does."""
    from enclaver.build.image import assemble
    from enclaver.core.eif.metadata import metadata
    from enclaver.core.oci import image
    from enclaver.core.oci.layer_cache import LayerCache
    from enclaver.core.rootfs.cpio_writer import Archive
    from enclaver.core.rootfs.tree import Tree
    from enclaver.core.trust import materials

    found = image.read(archive, work, architecture="x86_64", cache=LayerCache(cache) if cache else None)
    root = Tree()
    root.add_directory("rootfs")
    root.graft(found.tree, "rootfs")
    app = Archive(root)
    assemble(
        kernel=kernel,
        cmdline=CMDLINE,
        ramdisks=[boot, app],
        architecture="x86_64",
        metadata=metadata(name="b", version="1", tool_version="0", kernel_version="6", extras={}),
        output=work / "image.eif",
    )
    (work / "app.json").write_bytes(materials.render_entries([], materials.entries_json(root, app.digests)))


def theirs(eif_build: str, archive: Path, kernel: Path, boot: Path, work: Path, form: str) -> Run:
    """The same, step by step, by other programs."""
    if form == "oci":
        layout = f'mkdir layout && tar -C layout -xf "{archive}"'
    else:
        layout = f'skopeo --insecure-policy copy --quiet "docker-archive:{archive}" oci:layout:{TAG}'
    steps = f"""set -e; cd "{work}"
{layout}
umoci unpack --image layout:{TAG} bundle
(cd bundle && find rootfs -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc >../app.cpio)
"{eif_build}" --kernel "{kernel}" --cmdline "{CMDLINE}" --name b --ramdisk "{boot}" --ramdisk app.cpio \\
  --output image.eif
"""
    return run(["bash", "-c", steps])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in alternation")
    parser.add_argument("--mb", type=int, default=1000, help="size of the image, unpacked")
    parser.add_argument("--form", choices=("oci", "docker-save"), default="oci")
    parser.add_argument("--child", nargs="+", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return 0
    if args.measure:
        measured(args.measure)
        return 0
    eif_build = find_eif_build()
    chain = ["umoci", "cpio", *(["skopeo"] if args.form == "docker-save" else [])]
    has_peer = eif_build and all(map(shutil.which, chain)) and os.geteuid() == 0
    mine: list[Run] = []
    peers: list[Run] = []
    again: list[Run] = []
    hashing: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="image-to-eif-") as name:
        folder = Path(name)
        archive, changed = make_images(folder, args.mb * MIB, args.form)
        kernel_head = bytearray(0x210)
        kernel_head[0x202:0x206] = b"HdrS"
        make(folder / "kernel", 4 * MIB, head=bytes(kernel_head))
        make(folder / "boot", BOOT_MB * MIB)
        for _ in range(args.runs):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                mine.append(ours(archive, folder / "kernel", folder / "boot", Path(work)))
            if eif_build and has_peer:
                with tempfile.TemporaryDirectory(dir=folder) as work:
                    peers.append(theirs(eif_build, archive, folder / "kernel", folder / "boot", Path(work), args.form))
        with tempfile.TemporaryDirectory(dir=folder) as work:
            ours(archive, folder / "kernel", folder / "boot", Path(work), folder / "kept")
        for _ in range(args.runs):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                again.append(ours(changed, folder / "kernel", folder / "boot", Path(work), folder / "kept"))
                hashing.append(fresh("--measure", Path(work, "image.eif")))
    print(f"{args.mb} MiB in {LAYERS} layers and {FILES} files, {args.form}, {args.runs} runs each\n")
    print(f"{'':<12}{'median s':>10}{'best s':>10}{'CPU s':>10}{'peak MiB':>10}")
    for title, runs in (
        *(("enclaver", mine), ("umoci chain", peers)),
        *(("one file", again), ("measuring", hashing)),
    ):
        if runs:
            one = summary(runs)
            cpu = min(item.cpu_seconds for item in runs)
            print(f"{title:<12}{one.seconds:>10.2f}{one.best_seconds:>10.2f}{cpu:>10.2f}{one.peak_mib:>10.1f}")
    rebuilt, hashing_cpu = summary(again).seconds, statistics.median(one.cpu_seconds for one in hashing)
    result = {
        "benchmark": "image_to_eif",
        "form": args.form,
        "image_mib": args.mb,
        "layers": LAYERS,
        "files": FILES,
        "runs": args.runs,
        "ours": asdict(summary(mine)),
        "peer": {"name": "umoci, cpio, eif_build", **asdict(summary(peers))} if peers else None,
        "ratio": round(summary(peers).seconds / summary(mine).seconds, 2) if peers else None,
        "one_file_changed": asdict(summary(again)),
        "measuring": asdict(summary(hashing)),
        "measuring_cpu_seconds": round(hashing_cpu, 2),
        "changed_to_measuring": round(rebuilt / summary(hashing).seconds, 2),
        "changed_to_measuring_cpu": round(rebuilt / hashing_cpu, 2),
    }
    if not peers:
        print(f"nothing to compare with: this takes root, eif_build (build-support/ci-tools) and {', '.join(chain)}")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
