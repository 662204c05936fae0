from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest

from enclaver.core.oci import archive, digest, image
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.image_writer import MEDIA_TYPE, ImageDocuments, NamedLayer, documents
from enclaver.core.oci.layer_writer import WrittenLayer, write_layer
from enclaver.core.rootfs.entry import InlineContent
from enclaver.core.rootfs.tree import Tree

LAYERS = [NamedLayer("low", WrittenLayer(Digest("sha256", "1" * 64), 1024))]


def made(**changes: object) -> ImageDocuments:
    arguments = {"architecture": "x86_64", "entrypoint": ["/x", "y"], "env": {"B": "2", "A": "1"}, "labels": {"k": "v"}}
    return documents(LAYERS, **{**arguments, **changes})  # type: ignore[arg-type]


def test_the_documents() -> None:
    one = made(ports=[8000])
    assert json.loads(one.config) == {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/x", "y"],
            "Env": ["A=1", "B=2"],
            "ExposedPorts": {"8000/tcp": {}},
            "Labels": {"k": "v"},
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "low"}],
    }
    assert json.loads(one.manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{hashlib.sha256(one.config).hexdigest()}",
            "size": len(one.config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": f"sha256:{'1' * 64}",
                "size": 1024,
            }
        ],
    }


def test_the_order_of_names_does_not_show() -> None:
    assert made(env={"A": "1", "B": "2"}) == made()
    assert made(labels={"k": "v", "a": "b"}) == made(labels={"a": "b", "k": "v"})
    assert made(labels={"k": "w"}) != made()


@pytest.mark.parametrize(("architecture", "name"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_an_image_of_it_reads_back(tmp_path: Path, architecture: str, name: str) -> None:
    tree = Tree()
    tree.add_file("x", b"x", mode=0o755)
    out = io.BytesIO()
    layer = write_layer(tree, out)
    one = documents([NamedLayer("low", layer)], architecture=architecture, entrypoint=["/x"], env={}, labels={})
    assert json.loads(one.config)["architecture"] == name
    config = InlineContent(one.config)
    blobs = {layer.digest: InlineContent(out.getvalue()), digest.of(config): config}
    with (tmp_path / "x.tar").open("wb") as file:
        archive.write_archive(file, manifest=one.manifest, media_type=MEDIA_TYPE, blobs=blobs, names=["x:1"])
    (tmp_path / "work").mkdir()
    found = image.read(tmp_path / "x.tar", tmp_path / "work", architecture=architecture)
    assert found.digest.hex == hashlib.sha256(one.config).hexdigest()
    assert found.config.entrypoint == ("/x",)
    assert [entry.path for entry in found.tree] == ["x"]
