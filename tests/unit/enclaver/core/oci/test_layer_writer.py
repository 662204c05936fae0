from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import layer, overlay
from enclaver.core.oci.compression import Compression
from enclaver.core.oci.layer import Layer
from enclaver.core.oci.layer_writer import WrittenLayer, write_layer
from enclaver.core.oci.limits import Budget
from enclaver.core.oci.overlay import Overlay
from enclaver.core.rootfs.entry import Entry, FileContent, InlineContent, Kind, path_text
from enclaver.core.rootfs.tree import Tree
from tests.unit.enclaver.core.rootfs.trees import flat, trees


def written(tree: Tree) -> tuple[bytes, WrittenLayer]:
    out = io.BytesIO()
    layer = write_layer(tree, out)
    assert (layer.digest.hex, layer.size) == (hashlib.sha256(out.getvalue()).hexdigest(), len(out.getvalue()))
    return out.getvalue(), layer


def read_back(tree: Tree, folder: Path) -> Tree:
    """Write a tree, and read what was written as a layer of somebody's image."""
    data, made = written(tree)
    (folder / "layer").write_bytes(data)
    blob = FileContent(folder / "layer", 0, len(data))
    merged = Overlay()
    merged.apply(layer.read(Layer("it", blob, made.digest, Compression.NONE, made.digest), folder / "spool", Budget()))
    return overlay.tree(merged)


def everything() -> Tree:
    """A tree with all that a layer can hold."""
    tree = Tree()
    tree.add_directory("home", mode=0o750, uid=1000, gid=1001)
    tree.add_file("home/su", b"su", mode=0o4755, uid=3_000_000, gid=4_000_000)
    tree.add_file("z", b"z" * 3000, mode=0o600)
    tree.add(Entry("a-link", Kind.FILE, 0, hardlink_to="z"))
    tree.add_symlink("home/l", "/bin/su", uid=5)
    tree.add_symlink("home/long", "t/" * 200)
    tree.add_file(path_text(b"home/latin-\xe9"), b"1")
    tree.add_file("home/日本語", b"2")
    tree.add_file("home/" + "n" * 255, b"3")
    tree.add_file(f"home/{'p' * 90}/{'q' * 200}/x", b"")
    tree.ensure_parents()
    return tree


def test_everything_reads_back(tmp_path: Path) -> None:
    assert flat(read_back(everything(), tmp_path)) == flat(everything())


@given(tree=trees())
def test_any_tree_reads_back(tmp_path_factory: pytest.TempPathFactory, tree: Tree) -> None:
    if any(entry.kind is Kind.CHARACTER_DEVICE for entry in tree):
        with pytest.raises(EnclaverError, match="is a device"):
            write_layer(tree, io.BytesIO())
        return
    assert flat(read_back(tree, tmp_path_factory.mktemp("layer"))) == flat(tree)


def test_nothing_of_time_or_user_is_in_it_and_links_follow_their_files() -> None:
    data, _ = written(everything())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    assert {(one.mtime, one.uname, one.gname) for one in members} == {(0, "", "")}
    assert [one.name for one in members if not one.isdir()][:1] == ["a-link"]
    assert [(one.name, one.linkname) for one in members if one.islnk()] == [("z", "a-link")]


def test_the_order_in_which_it_was_put_together_does_not_show() -> None:
    entries = list(everything())
    assert written(Tree(reversed(entries)))[0] == written(Tree(entries))[0]


def test_gnu_tar_unpacks_the_same(tmp_path: Path) -> None:
    """Owners are left out: only root could give files away."""
    data, _ = written(everything())
    subprocess.run(
        ["tar", "--extract", "--no-same-owner", "--preserve-permissions", "--directory", tmp_path],
        input=data,
        check=True,
    )
    found = {
        os.path.relpath(os.path.join(folder, name), os.fsencode(tmp_path))
        for folder, _, files in os.walk(os.fsencode(tmp_path))
        for name in files
    }
    expected = {os.fsencode(entry.path) for entry in everything() if entry.kind is not Kind.DIRECTORY}
    assert found == expected
    assert os.path.samefile(tmp_path / "z", tmp_path / "a-link")
    assert os.readlink(tmp_path / "home/long") == "t/" * 200
    assert (tmp_path / "home/su").stat().st_mode & 0o7777 == 0o4755


@pytest.mark.parametrize("path", [".wh.x", "a/.wh..wh..opq", ".wh.a/x"])
def test_a_name_that_would_remove_something(path: str) -> None:
    tree = Tree([Entry(path, Kind.FILE, 0o644, content=InlineContent(b""))])
    tree.ensure_parents()
    with pytest.raises(EnclaverError, match=r"begins with \.wh\."):
        write_layer(tree, io.BytesIO())


def test_a_device_is_named() -> None:
    tree = Tree([Entry("null", Kind.CHARACTER_DEVICE, 0o666, device=(1, 3))])
    with pytest.raises(EnclaverError, match="null: is a device"):
        write_layer(tree, io.BytesIO())


def test_a_tree_that_is_not_whole() -> None:
    with pytest.raises(EnclaverError, match="its folder a is missing"):
        write_layer(Tree([Entry("a/b", Kind.FILE, 0o644, content=InlineContent(b""))]), io.BytesIO())
