from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, image
from enclaver.core.oci.archive import write_archive
from enclaver.core.oci.digest import Digest
from enclaver.core.rootfs.entry import Content, FileContent, InlineContent
from tests.unit.enclaver.core.oci.archives import INDEX, MANIFEST, Parts, listed, member, packed, parts, tar, to_json

IMAGE = parts(tar(member("one", b"1")), tar(member("two", b"2")), how="+gzip")


def blobs(one: Parts) -> dict[Digest, Content]:
    found = [InlineContent(data) for data in (to_json(one.config), *(blob for blob, _ in one.blobs))]
    return {digest.of(content): content for content in found}


def written(one: Parts = IMAGE, names: Sequence[str] = (), **changed: Any) -> bytes:
    out = io.BytesIO()
    options = {"manifest": to_json(one.manifest()), "media_type": MANIFEST, "blobs": blobs(one), **changed}
    write_archive(out, names=names, **options)
    return out.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    """The files of an archive, in its order."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        found = {each.name: archive.extractfile(each) for each in archive}
        return {name: file.read() for name, file in found.items() if file}


def read(path: Path, data: bytes, reference: str | None = None) -> image.Image:
    (path / "x.tar").write_bytes(data)
    return image.read(path / "x.tar", path, architecture="x86_64", reference=reference)


@pytest.mark.parametrize("reference", [None, "app:1", "docker.io/library/app:1", "h.io/app:2"])
def test_it_is_read_back(tmp_path: Path, reference: str | None) -> None:
    found = read(tmp_path, written(names=["app:1", "h.io/app:2"]), reference)
    assert found.digest == digest.of(InlineContent(to_json(IMAGE.config)))
    assert listed(found.tree) == {"one": b"1", "two": b"2"}


def test_a_daemon_before_25_finds_its_own_manifest(tmp_path: Path) -> None:
    files = members(written(names=["app:1", "h.io/app:2"]))
    [described] = json.loads(files["manifest.json"])
    assert described["RepoTags"] == ["app:1", "h.io/app:2"]
    assert files[described["Config"]] == to_json(IMAGE.config)
    assert [files[name] for name in described["Layers"]] == [blob for blob, _ in IMAGE.blobs]


def test_the_index_names_the_image_once_a_name() -> None:
    assert [item.get("annotations") for item in index()] == [None]
    assert [item["annotations"] for item in index("app:1", "h.io/app")] == [
        {"org.opencontainers.image.ref.name": "app:1", "io.containerd.image.name": "docker.io/library/app:1"},
        {"org.opencontainers.image.ref.name": "h.io/app:latest", "io.containerd.image.name": "h.io/app:latest"},
    ]


def index(*names: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(members(written(names=names))["index.json"])["manifests"]
    return found


def test_nothing_of_a_machine_is_in_it() -> None:
    data = written(names=["app:1"])
    assert data == written(names=["app:1"], blobs=dict(reversed(blobs(IMAGE).items())))
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        found = archive.getmembers()
    assert {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in found} == {(0, 0, 0, "", "")}
    assert {(each.isdir(), each.mode) for each in found} == {(True, 0o755), (False, 0o644)}
    names = [each.name for each in found]
    assert names[:5] == ["oci-layout", "index.json", "manifest.json", "blobs", "blobs/sha256"]
    assert names[5:] == sorted(names[5:])
    assert len(names) == 5 + 4


def test_a_layer_that_comes_twice_is_in_it_once(tmp_path: Path) -> None:
    layer = tar(member("one", b"1"))
    data = written(parts(layer, layer))
    assert len(members(data)) == 3 + 3
    assert listed(read(tmp_path, data).tree) == {"one": b"1"}


def test_what_the_manifest_does_not_name_is_left_out() -> None:
    more = InlineContent(b"more")
    assert written(blobs={**blobs(IMAGE), digest.of(more): more}) == written()


def test_a_file_of_more_than_ustar_can_say(tmp_path: Path) -> None:
    """Only its header counts: the content is a hole, and whoever writes it stops there."""

    class Stop(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 1 << 16:
                raise InterruptedError
            return super().write(data)

    size = 9 << 30
    with (tmp_path / "big").open("wb") as file:
        file.truncate(size)
    layer = Digest("sha256", "0" * 64)
    manifest = IMAGE.manifest()
    manifest["layers"] = [{"mediaType": MANIFEST, "digest": str(layer), "size": size}]
    known = {**blobs(IMAGE), layer: FileContent(tmp_path / "big", 0, size)}
    out = Stop()
    with pytest.raises(InterruptedError):
        write_archive(out, manifest=to_json(manifest), media_type=MANIFEST, blobs=known)
    (tmp_path / "x.tar").write_bytes(out.getvalue())
    os.truncate(tmp_path / "x.tar", size + (1 << 20))
    with tarfile.open(tmp_path / "x.tar", mode="r:") as archive:
        assert archive.getmember(f"blobs/sha256/{layer.hex}").size == size


FIRST = digest.of(InlineContent(IMAGE.blobs[0][0]))
SIZE = len(IMAGE.blobs[0][0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"blobs": {}}, "the image lacks this part"),
        ({"blobs": {**blobs(IMAGE), FIRST: InlineContent(b"x")}}, f"{FIRST}: is 1 bytes, and the manifest says"),
        ({"blobs": {**blobs(IMAGE), FIRST: InlineContent(bytes(SIZE))}}, f"blobs/sha256/{FIRST.hex} is not what the"),
        ({"media_type": INDEX}, "is not known as an image manifest"),
        ({"manifest": b"{"}, "is no JSON"),
        ({"manifest": b"[]"}, "`manifest` is not an object"),
        ({"names": ["App"]}, "`App` is not a Docker reference"),
        ({"names": [f"app@{FIRST}"]}, "an image is loaded under a name and a tag"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        written(**changed)
    assert message in str(caught.value)


@pytest.mark.parametrize("how", ["", "+gzip", "+zstd"])
def test_layers_stay_packed_as_they_are(how: str) -> None:
    one = parts(tar(member("x")), how=how)
    assert packed(tar(member("x")), how)[0] in members(written(one)).values()
