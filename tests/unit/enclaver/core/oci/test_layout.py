from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import layout
from enclaver.core.oci.compression import Compression
from enclaver.core.oci.files import Folder
from enclaver.core.oci.resolved import Resolved
from tests.unit.enclaver.core.oci import archives
from tests.unit.enclaver.core.oci.archives import (
    AMD64,
    ARM64,
    CONFIG,
    INDEX,
    MANIFEST,
    Parts,
    descriptor,
    member,
    parts,
    sha256,
    tar,
    to_json,
    write_folder,
)

ONE, TWO = tar(member("one")), tar(member("two"))
NAME = "org.opencontainers.image.ref.name"


def resolve(
    place: Path, files: dict[str, bytes], architecture: str = "x86_64", reference: str | None = None
) -> Resolved:
    return layout.resolve(Folder(write_folder(files, place)), architecture=architecture, reference=reference)


def several(*images: tuple[Parts, dict[str, Any]]) -> dict[str, bytes]:
    """A layout of several images, each with what its descriptor says besides."""
    manifests = [(to_json(one.manifest()), more) for one, more in images]
    blobs = [to_json(one.config) for one, _ in images] + [blob for one, _ in images for blob, _ in one.blobs]
    tops = [descriptor(data, MANIFEST, **more) for data, more in manifests]
    return archives.layout(tops, *(data for data, _ in manifests), *blobs)


def test_an_image_of_two_layers(tmp_path: Path) -> None:
    image = parts(ONE, TWO, how="+gzip", User="7")
    found = resolve(tmp_path, image.files())
    assert str(found.digest) == sha256(to_json(image.config))
    assert found.size == len(to_json(image.config))
    assert found.config.user == "7"
    assert [str(layer.diff_id) for layer in found.layers] == [sha256(ONE), sha256(TWO)]
    assert [str(layer.digest) for layer in found.layers] == [sha256(blob) for blob, _ in image.blobs]
    assert [layer.label for layer in found.layers] == ["layer 1 of 2", "layer 2 of 2"]
    assert found.layers[0].packed is Compression.GZIP


def test_no_layers_are_an_image_too(tmp_path: Path) -> None:
    assert resolve(tmp_path, parts().files()).layers == ()


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("nested", [0, 1, 3])
def test_the_platform_s_image_is_found(tmp_path: Path, told: bool, nested: int) -> None:
    images = [parts(ONE, platform=AMD64), parts(TWO, platform=ARM64)]
    attestation = parts(ONE, TWO, platform={"os": "unknown", "architecture": "unknown"})
    said = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    wanted = [
        (one, {"platform": platform} if told else {}) for one, platform in zip(images, (AMD64, ARM64), strict=True)
    ]
    files = several(*wanted, (attestation, said))
    for _ in range(nested):
        inner = files["index.json"]
        outer = archives.layout([descriptor(inner, INDEX), descriptor(inner, INDEX)], inner)
        files = {**files, **outer}
    for architecture, image in zip(("x86_64", "aarch64"), images, strict=True):
        assert str(resolve(tmp_path, files, architecture).digest) == sha256(to_json(image.config))


def test_the_variant_that_runs_anywhere_is_preferred(tmp_path: Path) -> None:
    plain, fast = parts(ONE), parts(TWO, platform={**AMD64, "variant": "v3"})
    new = {"platform": {**AMD64, "variant": "v3"}}
    files = several((fast, new), (plain, {"platform": AMD64}))
    assert str(resolve(tmp_path, files).digest) == sha256(to_json(plain.config))
    assert str(resolve(tmp_path / "fast", several((fast, new))).digest) == sha256(to_json(fast.config))


def test_one_of_several_by_its_name(tmp_path: Path) -> None:
    images = [parts(ONE), parts(TWO)]
    names = ({"annotations": {NAME: "one"}}, {"annotations": {NAME: "two"}})
    files = several(*zip(images, names, strict=True))
    assert str(resolve(tmp_path, files, reference="two").digest) == sha256(to_json(images[1].config))
    with pytest.raises(EnclaverError, match="holds several images: one, two"):
        resolve(tmp_path, files)
    with pytest.raises(EnclaverError, match="holds no image called 'three'; it has: one, two"):
        resolve(tmp_path, files, reference="three")


def test_one_image_under_two_names_is_one(tmp_path: Path) -> None:
    image = parts(ONE)
    files = several((image, {"annotations": {NAME: "a"}}), (image, {"annotations": {NAME: "b"}}))
    assert str(resolve(tmp_path, files).digest) == sha256(to_json(image.config))


def broken(change: dict[str, Any]) -> dict[str, bytes]:
    """An image whose manifest has other keys."""
    image = parts(ONE)
    return image.files({**image.manifest(), **change})


def typed(media_type: str) -> dict[str, bytes]:
    """An image with a layer of a type."""
    return broken({"layers": [descriptor(ONE, media_type)]})


def deep(levels: int) -> dict[str, bytes]:
    """Indexes in indexes."""
    files = parts(ONE).files()
    for _ in range(levels):
        inner = files["index.json"]
        files |= archives.layout([descriptor(inner, INDEX)], inner)
    return files


FILES = parts(ONE).files()
MANIFEST_NAME = "blobs/" + sha256(to_json(parts(ONE).manifest())).replace(":", "/")
LIES = {**AMD64, "architecture": "arm64"}


def nested(change: dict[str, Any]) -> dict[str, bytes]:
    """An image in an index in an index; the inner one has other keys."""
    inner = to_json({**json.loads(FILES["index.json"]), **change})
    return {**FILES, **archives.layout([descriptor(inner, INDEX)], inner)}


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({**FILES, "oci-layout": b"{}"}, "oci-layout|imageLayoutVersion"),
        ({**FILES, "oci-layout": b"nonsense"}, "oci-layout: is no JSON"),
        ({**FILES, "oci-layout": b'{"imageLayoutVersion": "2.0.0"}'}, "oci-layout: is a layout of version '2.0.0'"),
        ({name: data for name, data in FILES.items() if name != "index.json"}, "it has no index.json"),
        ({**FILES, "index.json": b"[]"}, "`index.json` is not an object"),
        ({**FILES, "index.json": b'{"manifests": [1]}'}, r"`manifests\[0\]` is not an object"),
        ({**FILES, "index.json": b'{"manifests": []}'}, "the image is for nothing"),
        ({**FILES, MANIFEST_NAME: b"x" * len(FILES[MANIFEST_NAME])}, "this document is not what the image says"),
        ({name: data for name, data in FILES.items() if name != MANIFEST_NAME}, "the image lacks this part"),
        (parts(ONE, platform=ARM64).files(), "for linux/arm64/v8, not for linux/amd64"),
        (parts(ONE, platform={"os": "windows", "architecture": "amd64"}).files(), "for windows/amd64"),
        (parts(ONE, platform={}).files(), "no named platform"),
        (parts(ONE, platform=LIES).files(platform=AMD64), "for linux/arm64, not for linux/amd64"),
        (broken({"mediaType": INDEX}), "another media type than its index says"),
        (broken({"manifests": []}), "is an image's manifest and has `manifests`, so that it could be read as"),
        (nested({"mediaType": MANIFEST}), "another media type than its index says"),
        (nested({"layers": []}), "is an image's index and has `layers`, so that it could be read as"),
        (nested({"config": {}}), "is an image's index and has `config`"),
        (broken({"config": descriptor(b"x", CONFIG)}), "the image lacks this part"),
        (
            broken({"config": descriptor(to_json(parts(ONE).config), "text/plain")}),
            "'text/plain' is not known as an image's",
        ),
        (broken({"config": None}), "`digest` is not a text"),
        (broken({"layers": []}), "the image has 0 layers and its configuration names 1"),
        (broken({"layers": [descriptor(ONE, archives.LAYER)] * 2}), "has 2 layers and its configuration names 1"),
        (broken({"layers": [descriptor(TWO, archives.LAYER)]}), "layer 1 of 1: sha256:.*the image lacks this part"),
        (broken({"layers": [descriptor(ONE, archives.LAYER) | {"size": 5}]}), "is 1536 bytes, and the image says 5"),
        (typed("text/plain"), "layer 1 of 1: sha256:.* 'text/plain' is not known as a layer"),
        (typed("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "layer 1 of 1: .* is a foreign layer"),
        (typed(archives.LAYER + "+gzip+encrypted"), "layer 1 of 1: .* is encrypted"),
        (
            archives.layout([descriptor(b"{}", "application/x")], b"{}"),
            "'application/x' is not known as an image manifest",
        ),
        (deep(4), "indexes in indexes"),
        (archives.layout([descriptor(b"%d" % one, MANIFEST, platform=ARM64) for one in range(1001)]), "more images"),
    ],
)
def test_what_is_refused(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        resolve(tmp_path, files)
