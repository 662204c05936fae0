from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import pytest

from enclaver.build.image import assemble
from enclaver.build.image_config import obeyed_config
from enclaver.core.eif.metadata import metadata
from enclaver.core.eif.reader import Image, read
from enclaver.core.rootfs import cpio
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


def test_a_kill_on_the_way_would_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[list[Path]] = []

    def read_cpio(path: Path) -> Tree:
        there.append(list(temporary.iterdir()))
        return Tree()

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    made = image(tmp_path, {"init": b"x"})
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(cpio, "read", read_cpio)
    assert obeyed_config(made) is None
    assert there == [[]]


def test_a_temporary_folder_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = image(tmp_path, {"rootfs/x": bytes(100_000)})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            obeyed_config(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path)


def test_another_tools_image_has_none(tmp_path: Path) -> None:
    assert obeyed_config(image(tmp_path, {"init": b"x"})) is None
