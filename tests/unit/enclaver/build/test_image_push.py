from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.build import image_push
from enclaver.build.registries import Registries
from enclaver.core.errors import EnclaverError
from enclaver.core.oci.reference import parse
from tests.fake_registry import FakeRegistry
from tests.unit.enclaver.build.published import ARM, ONE, digest
from tests.unit.enclaver.core.oci.archives import archived, parts, tar, to_json
from tests.unit.enclaver.core.oci.test_archive import written


def push(archive: Path, *names: str) -> tuple[str, list[str]]:
    told: list[str] = []
    with Registries() as registries:
        found = image_push.push(archive, [parse(name) for name in names], registries=registries, progress=told.append)
    return str(found), told


def test_an_archive_is_pushed_as_it_is(server: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(written(ONE))
    found, told = push(tmp_path / "x.tar", f"{server.host}/app:1", f"{server.host}/app:2", f"{server.host}/other:1")
    assert found == digest(ONE)
    assert server.manifests["app:1"][1] == server.manifests["other:1"][1] == to_json(ONE.manifest())
    assert set(server.blobs) == {str(part["digest"]) for part in (ONE.manifest()["config"], *ONE.manifest()["layers"])}
    # The fake keeps the blobs of all repositories together.
    assert told == [
        f"{server.host}/app:1@{found}: pushed, 3 of 3 blobs sent",
        f"{server.host}/app:2@{found}: pushed, 0 of 3 blobs sent",
        f"{server.host}/other:1@{found}: pushed, 0 of 3 blobs sent",
    ]
    assert push(tmp_path / "x.tar", f"{server.host}/app:1")[0] == found


def test_an_image_of_any_machine_and_without_layers(server: FakeRegistry, tmp_path: Path) -> None:
    for one in (ARM, parts(), parts(tar(), platform={"os": "plan9", "architecture": "mips"})):
        (tmp_path / "x.tar").write_bytes(written(one))
        assert push(tmp_path / "x.tar", f"{server.host}/app:1")[0] == digest(one)


def test_what_is_not_pushed(server: FakeRegistry, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(written(ONE))
    with pytest.raises(EnclaverError, match=r"an image is pushed under a name and a tag\n  Drop the `@`"):
        push(path, f"{server.host}/app@{digest(ONE)}")
    path.write_bytes(archived(ONE.docker_save()))
    with pytest.raises(EnclaverError, match=r"x\.tar: is no OCI image layout"):
        push(path, f"{server.host}/app:1")
    path.write_bytes(archived({**ONE.files(), "index.json": to_json({"schemaVersion": 2, "manifests": []})}))
    with pytest.raises(EnclaverError, match=r"x\.tar: holds several images: without names"):
        push(path, f"{server.host}/app:1")
    assert server.requests == []


def test_a_damaged_archive_is_not_pushed(server: FakeRegistry, tmp_path: Path) -> None:
    files = ONE.files()
    name = f"blobs/sha256/{ONE.manifest()['layers'][0]['digest'][7:]}"
    files[name] = bytes(len(files[name]))
    (tmp_path / "x.tar").write_bytes(archived(files))
    with pytest.raises(EnclaverError, match=r"x\.tar: sha256:.* is not what the image says"):
        push(tmp_path / "x.tar", f"{server.host}/app:1")
    assert server.requests == []
