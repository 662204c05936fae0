from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from enclaver.build.nitro_image import nitro_image
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image as oci_image
from enclaver.core.rootfs.tree import Entry, Kind, Tree
from enclaver.core.trust.materials import Input, load_entries, save_tree

Pair = tuple[Path, Path]


def pair(folder: Path, name: str, tree: Tree) -> Pair:
    tree.ensure_parents(origin="enclaver")
    paths = folder / f"{name}.cpio", folder / f"{name}.json"
    save_tree(tree, [Input("deb", name, "0" * 64, 1)], *paths)
    return paths


def boot_tree() -> Tree:
    tree = Tree()
    tree.add_file("init", b"#!/usr/bin/python3.11 -IS\n", mode=0o755, origin="enclaver")
    tree.add_file("usr/bin/python3.11", b"\x7fELF", mode=0o755, origin="deb:python3.11-minimal=1")
    tree.add(Entry("usr/bin/python3", Kind.FILE, 0, hardlink_to="usr/bin/python3.11", origin="deb:x=1"))
    tree.add(Entry("dev/null", Kind.CHARACTER_DEVICE, 0o666, device=(1, 3), origin="enclaver"))
    tree.add_directory("rootfs", origin="enclaver")
    return tree


def app_tree() -> Tree:
    tree = Tree()
    tree.add_directory("rootfs", mode=0o750, uid=5, gid=6, origin="enclaver")
    tree.add_file("rootfs/bin/app", b"app", mode=0o755, uid=7, gid=8, origin="target://:app")
    tree.add_symlink("rootfs/sh", "/bin/app", origin="target://:app")
    tree.add_file("etc/enclaver/runtime.json", b"{}", origin="enclaver")
    return tree


def make(folder: Path, name: str = "image", app: Tree | None = None) -> Pair:
    output = folder / f"{name}.tar", folder / f"{name}.json"
    boot, laid = pair(folder, "boot", boot_tree()), pair(folder, "app", app_tree() if app is None else app)
    nitro_image(boot=boot, app=laid, architecture="x86_64", output=output)
    return output


def document(archive: Path, name: str) -> Any:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return json.load(file)


def test_the_app_is_laid_over_the_runtimes_root(tmp_path: Path) -> None:
    archive, _ = make(tmp_path)
    (tmp_path / "work").mkdir()
    found = oci_image.read(archive, tmp_path / "work", architecture="x86_64").tree
    rootfs = found.get("rootfs")
    assert rootfs is not None
    assert (rootfs.mode, rootfs.uid, rootfs.gid) == (0o750, 5, 6)
    assert [entry.path for entry in found if entry.kind is not Kind.DIRECTORY] == [
        "etc/enclaver/runtime.json",
        "init",
        "rootfs/bin/app",
        "rootfs/sh",
        "usr/bin/python3",
        "usr/bin/python3.11",
    ]
    (described,) = document(archive, "manifest.json")
    config = document(archive, described["Config"])
    assert (config["architecture"], len(described["Layers"]), described["RepoTags"]) == ("amd64", 2, [])
    # nitro-cli takes Cmd, and only without one Entrypoint; it writes Env for AWS's init.
    assert config["config"]["Entrypoint"] == ["/init"]
    assert not config["config"].get("Cmd")
    assert config["config"]["Env"] == []


def test_what_is_in_it_is_told_without_devices(tmp_path: Path) -> None:
    inputs, records = load_entries(make(tmp_path)[1])
    assert [one.name for one in inputs] == ["app", "boot"]
    by_path = {record["path"]: record for record in records}
    assert list(by_path) == sorted(by_path)
    assert by_path["rootfs"]["mode"] == "0750"
    assert by_path["rootfs/bin/app"]["origin"] == "target://:app"
    assert by_path["usr/bin/python3.11"] == {
        "path": "usr/bin/python3.11",
        "type": "hardlink",
        "target": "usr/bin/python3",
        "origin": "deb:python3.11-minimal=1",
    }
    assert "dev/null" not in by_path


def test_the_same_ramdisks_are_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in make(tmp_path)]
    umask = os.umask(0o077)
    try:
        (tmp_path / "elsewhere").mkdir()
        second = [path.read_bytes() for path in make(tmp_path / "elsewhere", "other")]
    finally:
        os.umask(umask)
    assert first == second


def test_a_name_that_no_layer_can_hold_is_named_with_its_ramdisk(tmp_path: Path) -> None:
    app = app_tree()
    app.add_file("rootfs/.wh.x", b"", origin="target://:app")
    with pytest.raises(EnclaverError, match=r"app\.cpio: rootfs/\.wh\.x: in a layer") as caught:
        make(tmp_path, app=app)
    assert caught.value.cure == "Rename it."
    assert not (tmp_path / "image.tar").exists()
    assert not list(tmp_path.glob(".nitro-image-*"))
