"""An image with more files in its app's root: what cannot lie in a repository, since a test makes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from enclaver.build.image import assemble
from enclaver.cli import main as enclaver
from enclaver.core.eif.metadata import metadata
from enclaver.core.eif.reader import read
from enclaver.core.rootfs import cpio, cpio_writer


def with_files(eif: Path, files: Mapping[str, bytes], folder: Path) -> Path:
    """Write an image like ``eif`` into a folder, with ``files`` by their paths in the app's root.

    They take the place of what was there.
    """
    parts = folder / "parts"
    assert enclaver.main(["describe", str(eif), "--extract", str(parts)]) == 0
    tree = cpio.read(parts / "ramdisk-1.cpio")
    for path, content in files.items():
        tree.remove(f"rootfs/{path}")
        tree.add_file(f"rootfs/{path}", content)
    tree.ensure_parents()
    with (folder / "app.cpio").open("wb") as out:
        cpio_writer.write(tree, out)
    header = read(eif).header
    assemble(
        kernel=parts / "kernel",
        cmdline=(parts / "cmdline").read_text(),
        ramdisks=[parts / "ramdisk-0.cpio", folder / "app.cpio"],
        architecture=header.architecture,
        metadata=metadata(name="more-files", version="1", tool_version="0", kernel_version="6", extras={}),
        memory_mb=header.memory_bytes >> 20,
        cpus=header.cpus,
        output=folder / "more-files.eif",
    )
    return folder / "more-files.eif"
