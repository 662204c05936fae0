"""The docker image that nitro-cli is to make an enclave of: the boot ramdisk's tree with the app's laid over it.

Its root is the runtime's, with a Python of its own; the app lies in /rootfs, as in the native builder's image. So any
libc will do for an app, or none at all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from enclaver.core.errors import in_file
from enclaver.core.oci import archive, digest, image_writer
from enclaver.core.oci.image_writer import NamedLayer
from enclaver.core.oci.layer_writer import write_layer
from enclaver.core.rootfs import cpio
from enclaver.core.rootfs.entry import Content, InlineContent, Kind, path_bytes
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust import materials
from enclaver.system.atomic import atomic_outputs

#: What AWS's init starts.
ENTRYPOINT: Final = ("/init",)


def nitro_image(
    *, boot: tuple[Path, Path], app: tuple[Path, Path], architecture: str, output: tuple[Path, Path]
) -> None:
    """Write the image, without a daemon.

    Args:
        boot, app: archive and entries of the ramdisks that the native builder would take.
        architecture: ``x86_64`` or ``aarch64``.
        output: the archive, as ``docker load`` takes it, and the JSON that says what is in the image and where that
            comes from, in the form of a ramdisk's entries.

    Raises:
        EnclaverError: an input is not what ``materials.save_tree`` has written, or an output can't be written.
    """
    layers: list[NamedLayer] = []
    blobs: dict[digest.Digest, Content] = {}
    inputs: list[materials.Input] = []
    records: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory(prefix=".nitro-image-", dir=output[0].absolute().parent) as work,
        atomic_outputs(output) as (archive_file, description),
    ):
        for name, (cpio_file, entries_file) in (("boot", boot), ("app", app)):
            its_inputs, its_records = materials.load_records(cpio_file, entries_file)
            inputs += its_inputs
            records |= {one["path"]: one for one in its_records if one["type"] != Kind.CHARACTER_DEVICE.value}
            file = Path(work, name)
            with in_file(cpio_file), file.open("wb") as out:
                written = write_layer(_without_devices(cpio.read(cpio_file)), out)
            layers.append(NamedLayer(f"enclaver: {name}", written))
            blobs[written.digest] = whole(file)
        made = image_writer.documents(layers, architecture=architecture, entrypoint=ENTRYPOINT, env={}, labels={})
        config = InlineContent(made.config)
        blobs[digest.of(config)] = config
        archive.write_archive(archive_file, manifest=made.manifest, media_type=image_writer.MEDIA_TYPE, blobs=blobs)
        description.write(materials.render_entries(inputs, [records[path] for path in sorted(records, key=path_bytes)]))


def _without_devices(tree: Tree) -> Tree:
    """Leave devices out: AWS's init mounts a /dev, and a daemon that isn't root could not make them."""
    return Tree(entry for entry in tree if entry.kind is not Kind.CHARACTER_DEVICE)
