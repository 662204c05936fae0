from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import docker_save
from enclaver.core.oci.files import opened
from enclaver.core.oci.resolved import Resolved
from tests.unit.enclaver.core.oci.archives import ARM64, archived, member, parts, sha256, symlink, tar, to_json

ONE, TWO = tar(member("one")), tar(member("two"))
IMAGE = parts(ONE, TWO)
FILES = IMAGE.docker_save()


def resolve(place: Path, files: dict[str, bytes] | bytes, reference: str | None = None) -> Resolved:
    path = place / "x.tar"
    path.write_bytes(files if isinstance(files, bytes) else archived(files))
    with opened(path, place) as found:
        return docker_save.resolve(found, architecture="x86_64", reference=reference)


@pytest.mark.parametrize("reference", [None, "app:latest"])
def test_an_image_of_two_layers(tmp_path: Path, reference: str | None) -> None:
    found = resolve(tmp_path, FILES, reference)
    assert str(found.digest) == sha256(to_json(IMAGE.config))
    assert found.size == len(to_json(IMAGE.config))
    assert [str(layer.diff_id) for layer in found.layers] == [sha256(ONE), sha256(TWO)]
    assert [layer.digest for layer in found.layers] == [None, None]


def test_a_shared_layer_is_a_link(tmp_path: Path) -> None:
    image = parts(ONE, ONE)
    files = image.docker_save()
    del files["layer1/layer.tar"]
    data = archived(files).removesuffix(bytes(1024)) + tar(symlink("layer1/layer.tar", "../layer0/layer.tar"))
    first, second = resolve(tmp_path, data).layers
    assert first.blob == second.blob


def test_one_of_several_by_its_tag(tmp_path: Path) -> None:
    other = parts(TWO).docker_save(["other:1", "other:2"])
    both = [*_manifest(FILES), *_manifest(other)]
    files = {**other, **FILES, "manifest.json": to_json(both)}
    # The two archives' layers have the same names; what counts here is which configuration is taken.
    assert str(resolve(tmp_path, files, "other:2").digest) == sha256(to_json(parts(TWO).config))
    with pytest.raises(EnclaverError, match="holds several images: app:latest, other:1, other:2"):
        resolve(tmp_path, files)
    with pytest.raises(EnclaverError, match="holds no image called 'app'"):
        resolve(tmp_path, files, "app")


def _manifest(files: dict[str, bytes]) -> list[object]:
    found = json.loads(files["manifest.json"])
    assert isinstance(found, list)
    return found


def without(name: str) -> dict[str, bytes]:
    return {one: data for one, data in FILES.items() if one != name}


CONFIG_NAME = next(name for name in FILES if len(name) > 64)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({**FILES, "manifest.json": b"x"}, "manifest.json: is no JSON"),
        ({**FILES, "manifest.json": b"{}"}, "manifest.json: `manifest.json` is not a list"),
        ({**FILES, "manifest.json": b"[]"}, "holds no image"),
        ({**FILES, "manifest.json": b"[{}]"}, "`Config` is not a text"),
        (without("layer1/layer.tar"), "layer1/layer.tar: is not in the archive"),
        (without(CONFIG_NAME), f"{CONFIG_NAME}: is not in the archive"),
        ({**FILES, CONFIG_NAME: b"{}"}, f"the configuration {CONFIG_NAME} is not what the image says"),
        (parts(ONE, platform=ARM64).docker_save(), "for linux/arm64/v8, not for linux/amd64"),
        (
            {**FILES, "manifest.json": to_json([{"Config": CONFIG_NAME, "Layers": ["layer0/layer.tar"]}])},
            "has 1 layers",
        ),
        ({**FILES, "manifest.json": to_json([{"Config": "../x", "Layers": []}])}, "leads out of the archive"),
    ],
)
def test_what_is_refused(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        resolve(tmp_path, files)
