"""An image with TLS, made of one without: keys lie in no repository, so a test makes them and the image."""

from __future__ import annotations

import json
from pathlib import Path

from enclaver.build import ingress_tls
from enclaver.core.eif.format import SectionType
from enclaver.core.eif.reader import read
from enclaver.core.eif.writer import ImagePlan, write
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.runtime_config import PATH, tls_files
from enclaver.core.rootfs import cpio, cpio_writer
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.tree import Tree
from tests.certificates import Identity

_MANIFEST = "version: v1\nname: x\ntarget: x:1\nsources: {{app: ':x'}}\ningress: [{ports}]\n"
_PORT = "{{listen_port: {port}, tls: {{cert_file: cert.pem, key_file: key.pem}}}}"


def with_tls(eif: Path, identity: Identity, folder: Path) -> Path:
    """Return an image whose ingress ports all end TLS with an identity; what it is made of is left in ``folder``."""
    image = read(eif)
    parts = {kind: [part.data for part in image.sections if part.kind is kind] for kind in SectionType}
    boot, plain = parts[SectionType.RAMDISK]
    with (folder / "plain.cpio").open("wb") as out:
        for chunk in plain.chunks():
            out.write(chunk)
    tree = cpio.read(folder / "plain.cpio")
    document = json.loads(_content(tree, PATH))
    identity.write(folder)
    ports = [section["listen_port"] for section in document["ingress"]]
    text = _MANIFEST.format(ports=", ".join(_PORT.format(port=port) for port in ports))
    files, _ = ingress_tls.pack(parse(text.encode(), str(folder / "enclaver.yaml")), folder)
    for section in document["ingress"]:
        cert, key = tls_files(section["listen_port"])
        section["tls"] = {"cert_file": f"/{cert}", "key_file": f"/{key}"}
    tree.graft(files)
    tree.remove(PATH)
    tree.add_file(PATH, json.dumps(document).encode())
    with (folder / "tls.cpio").open("wb") as archive:
        cpio_writer.write(tree, archive)
    (kernel,) = parts[SectionType.KERNEL]
    plan = ImagePlan(
        architecture=image.header.architecture,
        kernel=kernel,
        cmdline=image.cmdline,
        ramdisks=[boot, whole(folder / "tls.cpio")],
        metadata=json.dumps(image.metadata).encode(),
        memory_bytes=image.header.memory_bytes,
        cpus=image.header.cpus,
    )
    made = folder / "tls.eif"
    with made.open("w+b") as out:
        write(plan, out)
    return made


def _content(tree: Tree, path: str) -> bytes:
    entry = tree.get(path)
    assert entry is not None
    return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())
