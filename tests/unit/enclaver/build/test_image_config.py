from __future__ import annotations

from pathlib import Path

from enclaver.build.image import assemble
from enclaver.build.image_config import obeyed_config
from enclaver.core.eif.metadata import metadata
from enclaver.core.eif.reader import Image, read
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import save_tree
from tests.unit.enclaver.build.test_image import bz_image


def image(folder: Path, files: dict[str, bytes]) -> Image:
    tree = Tree()
    for path, data in files.items():
        tree.add_file(path, data, origin="enclaver")
    tree.ensure_parents(origin="enclaver")
    save_tree(tree, [], folder / "app.cpio", folder / "app.json")
    (folder / "bzImage").write_bytes(bz_image())
    assemble(
        kernel=folder / "bzImage",
        cmdline="odd length",  # So that the ramdisk lies at no multiple of four.
        ramdisks=[folder / "app.cpio"],
        architecture="x86_64",
        metadata=metadata(name="odd", version="1", tool_version="0", kernel_version="6", extras={}),
        output=folder / "x.eif",
    )
    return read(folder / "x.eif")


def test_the_image_says_what_it_obeys(tmp_path: Path) -> None:
    assert obeyed_config(image(tmp_path, {"etc/enclaver/runtime.json": b"{}", "rootfs/app/x": b"x"})) == b"{}"


def test_an_image_that_aws_s_init_boots_says_it_too(tmp_path: Path) -> None:
    files = {"cmd": b"/init\n", "rootfs/init": b"#!", "rootfs/etc/enclaver/runtime.json": b"[]"}
    assert obeyed_config(image(tmp_path, files)) == b"[]"


def test_an_apps_own_file_of_that_name_is_not_obeyed(tmp_path: Path) -> None:
    files = {"etc/enclaver/runtime.json": b"{}", "rootfs/etc/enclaver/runtime.json": b"[]"}
    assert obeyed_config(image(tmp_path, files)) == b"{}"


def test_another_tools_image_has_none(tmp_path: Path) -> None:
    assert obeyed_config(image(tmp_path, {"init": b"x"})) is None
