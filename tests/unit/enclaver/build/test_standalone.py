from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import image_fetch, image_lock, ramdisks, standalone
from enclaver.build import manifest as manifests
from enclaver.build.image import Ramdisk
from enclaver.build.ramdisks import Fetching
from enclaver.build.registries import Registries
from enclaver.build.standalone import Request
from enclaver.core.eif.reader import read
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, reference
from enclaver.core.oci.image_lock import ImageLock, LockedImage, render
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import save_tree
from tests.unit.enclaver.build import apps
from tests.unit.enclaver.build.test_image import bz_image
from tests.unit.enclaver.core.oci.archives import archived, member, parts, tar

MANIFEST = "version: v1\nname: x\ntarget: x:1\nsources:\n  app: app:1\n"
MEANING = LockedImage(None, digest.parse("sha256:" + "1" * 64))
APP = reference.parse("app:1")


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A build whose app and boot ramdisk are small and at hand."""
    file = tmp_path / "enclaver.yaml"
    file.write_text(MANIFEST)
    kernel = tmp_path / "kernel"
    kernel.mkdir()
    (kernel / "bzImage").write_bytes(bz_image())
    (kernel / "cmdline").write_text("console=ttyS0")
    app = archived(parts(tar(member("bin/a", apps.elf(), mode=0o755)), Cmd=["/bin/a"]).files())

    def fetch(*, output: Path, image: str, **_: Any) -> None:
        assert image == str(APP)
        output.write_bytes(app)

    def boot(architecture: str, kernel: Path, work: Path, fetching: Fetching) -> Ramdisk:
        tree = Tree()
        tree.add_file("init", b"x", origin="enclaver")
        save_tree(tree, [], work / "boot.cpio", work / "boot.json")
        return Ramdisk("boot", work / "boot.cpio", work / "boot.json")

    monkeypatch.setattr(image_fetch, "fetch", fetch)
    monkeypatch.setattr(ramdisks, "boot_ramdisk", boot)
    lock = tmp_path / "enclave.images.lock"
    lock.write_bytes(render(ImageLock().updated({APP: {"x86_64": MEANING}})))
    return Request(manifests.load(file), file, lock, kernel=kernel)


def build(request: Request, folder: Path) -> standalone.Built:
    folder.mkdir()
    work = folder / "work"
    work.mkdir()
    fetching = Fetching(folder / "cache", [], [], lambda _: None)
    with Registries() as registries:
        return standalone.eif(request, folder / "x.eif", work, fetching=fetching, registries=registries)


def test_an_image_comes_with_its_registers_and_materials(request_: Request, tmp_path: Path) -> None:
    built = build(request_, tmp_path / "out")
    assert (built.app, built.meaning) == (APP, MEANING)
    assert read(tmp_path / "out" / "x.eif").measurements == built.measurements
    materials = json.loads((tmp_path / "out" / "x.materials.json").read_bytes())
    assert [one["name"] for one in materials["inputs"] if one["kind"] == "image"] == ["app:1"]
    report = json.loads((tmp_path / "out" / "x.pcrs.json").read_bytes())
    assert report["Measurements"]["PCR0"] == built.measurements.pcr0.hex()


def test_where_it_is_built_does_not_show(request_: Request, tmp_path: Path) -> None:
    build(request_, tmp_path / "one")
    build(request_, tmp_path / "another place")
    for name in ("x.eif", "x.pcrs.json", "x.materials.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "another place" / name).read_bytes()


def test_without_a_lock_the_app_is_what_its_name_means_now(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = LockedImage(None, digest.parse("sha256:" + "2" * 64))
    monkeypatch.setattr(image_lock, "resolve", lambda wanted, **_: {image: {"x86_64": now} for image in wanted})
    assert build(replace(request_, lock=None), tmp_path / "out").meaning == now


def test_a_lock_that_does_not_pin_the_app_is_no_lock_for_it(request_: Request, tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"enclave\.images\.lock: the lock pins app:1 for x86_64, not for aarch64"):
        build(replace(request_, architecture="aarch64"), tmp_path / "out")
    assert not (tmp_path / "out" / "x.eif").exists()


def test_a_target_of_pants_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "enclaver.yaml"
    file.write_text(MANIFEST.replace("app: app:1", "app: :server"))
    with pytest.raises(EnclaverError, match=r"`sources.app` is :server, a target(.|\n)*pants package"):
        standalone.app_of(manifests.load(file))
