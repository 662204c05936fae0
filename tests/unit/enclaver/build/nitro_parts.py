"""An image as nitro-cli would build it of the parts of test_nitro_image, and all that its builder takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from enclaver.build.image import assemble
from enclaver.core.pcr import report
from enclaver.core.pcr.measure import Measurements
from tests.unit.enclaver.build import test_nitro_image
from tests.unit.enclaver.build.test_image import METADATA, bz_image
from tests.unit.enclaver.core.rootfs.test_cpio_scan import archive, record
from tests.unit.enclaver.system import nitro_stand_in

FILE, PROGRAM, FOLDER, LINK = 0o100644, 0o100755, 0o040755, 0o120777


@dataclass(frozen=True)
class Parts:
    """What the builder takes.

    Args:
        image: the docker image's archive and description.
        blobs: the folder of blobs.
        program: a nitro-cli that writes ``eif``, and ``says`` what that measures.
        measurements: what it measures.
    """

    image: tuple[Path, Path]
    blobs: Path
    program: Path
    eif: Path
    says: Path
    measurements: Measurements


def customer(**changes: bytes) -> bytes:
    """Return the ramdisk that linuxkit would make of the docker image; ``changes`` are contents by name."""
    data: Mapping[str, bytes] = {"init": b"#!/usr/bin/python3.11 -IS\n", "python": b"\x7fELF", "app": b"app", **changes}
    root = [record(f"rootfs/{name}/".encode(), FOLDER) for name in ("etc", "etc/enclaver", "usr", "usr/bin")]
    own = [
        record(b"rootfs/rootfs/", 0o040750, owner=(5, 6)),
        record(b"rootfs/rootfs/bin/", FOLDER),
        record(b"rootfs/rootfs/bin/app", PROGRAM, data["app"], owner=(7, 8)),
        record(b"rootfs/rootfs/sh", LINK, b"/bin/app"),
    ]
    return archive(
        record(b"rootfs", FOLDER),
        *root,
        *own,
        record(b"rootfs/etc/enclaver/runtime.json", FILE, b"{}"),
        record(b"rootfs/etc/hosts", FILE, b"127.0.0.1"),
        record(b"rootfs/init", PROGRAM, data["init"]),
        record(b"rootfs/usr/bin/python3", PROGRAM, data["python"]),
        record(b"rootfs/usr/bin/python3.11", LINK, b"python3"),
        record(b"rootfs/dev", FOLDER),
        record(b"cmd", FILE, b"/init\n"),
        record(b"env", FILE),
    )


def make(folder: Path, *, ramdisk: bytes | None = None, ramdisks: int = 2, cmdline: str = "console=ttyS0") -> Parts:
    """Make all of it."""
    blobs = nitro_stand_in.make_blobs(folder / "blobs", bz_image())
    (folder / "0").write_bytes(archive(record(b"dev", FOLDER), record(b"init", PROGRAM, b"init")))
    (folder / "1").write_bytes(customer() if ramdisk is None else ramdisk)
    (folder / "2").write_bytes(archive())
    eif, says = folder / "theirs.eif", folder / "says.json"
    measurements = assemble(
        kernel=blobs / "bzImage",
        cmdline=cmdline,
        ramdisks=[folder / str(number) for number in range(ramdisks)],
        architecture="x86_64",
        metadata=METADATA,
        memory_mb=1024,
        output=eif,
    )
    says.write_bytes(report.render(measurements))
    (folder / "image").mkdir()
    image = test_nitro_image.make(folder / "image")
    program = nitro_stand_in.make(folder, eif=eif, says=says)
    return Parts(image, blobs, program, eif, says, measurements)
