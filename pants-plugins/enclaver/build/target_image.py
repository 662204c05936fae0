"""The manifest's ``target``: a container image that runs the enclave, as one archive, made without a daemon.

Its layers are in the order of how seldom they change, so that registries and machines have the lower ones once: Debian,
the command that runs enclaves, the programs it does that with, the enclave.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from enclaver.build import manifest as manifest_file
from enclaver.build import runner as runners
from enclaver.build import runner_tools
from enclaver.build.runner import COMMAND, Runner
from enclaver.build.runner_tools import Tools
from enclaver.core.eif.reader import Image, read
from enclaver.core.manifest.model import Manifest
from enclaver.core.oci import archive, digest, image_writer
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.image_writer import NamedLayer
from enclaver.core.oci.layer_writer import write_layer
from enclaver.core.rootfs.entry import ORIGIN, Content, Entry, FileContent, InlineContent, Kind
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree
from enclaver.system.atomic import atomic_output

#: Where the enclave and its manifest lie: where Enclaver's own images have them.
EIF: Final = "enclave/application.eif"
MANIFEST: Final = "enclave/enclaver.yaml"
#: How labels of this project begin.
LABELS: Final = "io.enclaver."
_TITLE: Final = "org.opencontainers.image.title"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def target_image(
    *,
    eif: Path,
    manifest: Path,
    runner: Runner,
    tools: Tools,
    names: Sequence[str],
    output: Path,
    work: Path | None = None,
) -> Digest:
    """Write an image's archive: what `docker load` and `skopeo copy oci-archive:FILE` take.

    Args:
        eif: the enclave's image. It is read and checked whole; its measurements become labels.
        manifest: its manifest: the memory, processors and ports that it is run with.
        runner: what runs it.
        tools: the programs it is run with.
        names: references with a tag that the image is loaded under.
        output: the archive's path.
        work: a folder for what is written on the way; the output's own by default.

    Returns:
        The image's digest, which is its manifest's.

    Raises:
        EnclaverError: an input is unfit, or the output can't be written; it is then not there.
    """
    enclave = read(eif)
    parsed = manifest_file.load(manifest)
    architecture = enclave.header.architecture
    with (
        tempfile.TemporaryDirectory(prefix=".target-", dir=work or output.absolute().parent) as parts,
        Spool(Path(parts, "spool")) as spool,
    ):
        whole_tree = runners.base(runner, architecture)
        trees = {"Debian": Tree(whole_tree)}
        for name, brought in (
            ("enclaver run", runners.command(runner, spool)),
            ("programs", runner_tools.tools(tools, whole_tree, architecture)),
            ("the enclave", _enclave(eif, manifest)),
        ):
            # Without any program there is no layer for them.
            if len(brought):
                trees[name] = _layer(whole_tree, brought)
        blobs: dict[Digest, Content] = {}
        layers = [
            _write(name, tree, Path(parts, f"layer-{number}"), blobs)
            for number, (name, tree) in enumerate(trees.items())
        ]
        made = image_writer.documents(
            layers,
            architecture=architecture,
            entrypoint=(COMMAND, "run", "--file", f"/{MANIFEST}", "--address", "any", f"/{EIF}"),
            env={"PATH": _PATH},
            labels=_labels(enclave, parsed),
            ports=[one.listen_port for one in parsed.ingress],
        )
        config = InlineContent(made.config)
        blobs[digest.of(config)] = config
        with atomic_output(output) as out:
            archive.write_archive(
                out, manifest=made.manifest, media_type=image_writer.MEDIA_TYPE, blobs=blobs, names=names
            )
    return digest.of(InlineContent(made.manifest))


def _enclave(eif: Path, manifest: Path) -> Tree:
    files = ((EIF, eif), (MANIFEST, manifest))
    return Tree(Entry(path, Kind.FILE, 0o644, content=whole(file), origin=ORIGIN) for path, file in files)


def _layer(below: Tree, brought: Tree) -> Tree:
    """Lay a tree on what is there; return what that is as a layer: with the folders it lies in, as they are below.

    Raises:
        EnclaverError: another file is at one of its paths.
    """
    below.graft(brought)
    below.ensure_parents(origin=ORIGIN)
    layer = Tree()
    for entry in brought:
        path = entry.path
        while path and path not in layer:
            found = below.get(path)
            assert found is not None
            layer.add(found)
            path = found.parent
    return layer


def _write(name: str, tree: Tree, path: Path, blobs: dict[Digest, Content]) -> NamedLayer:
    with path.open("wb") as out:
        written = write_layer(tree, out)
    blobs[written.digest] = FileContent(path, 0, written.size)
    return NamedLayer(name, written)


def _labels(enclave: Image, manifest: Manifest) -> Mapping[str, str]:
    registers = enclave.measurements.registers()
    return {_TITLE: manifest.name, **{f"{LABELS}{name.lower()}": value for name, value in registers.items()}}
