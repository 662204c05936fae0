"""A tree as a real folder: modes, links and owners as the tree has them, and nothing outside of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enclaver.core.debian import folder
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Entry, FileContent, InlineContent, Kind, Tree

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def tree(tmp_path: Path) -> Tree:
    spool = tmp_path / "spool"
    spool.write_bytes(b"....content....")
    made = Tree()
    made.add(Entry("closed", Kind.DIRECTORY, 0o555))
    made.add(Entry("closed/tool", Kind.FILE, 0o4755, uid=7, gid=8, content=FileContent(spool, 4, 7)))
    made.add(Entry("closed/twin", Kind.FILE, 0o4755, uid=7, gid=8, hardlink_to="closed/tool"))
    made.add(Entry("secret", Kind.FILE, 0o600, content=InlineContent(b"inline")))
    made.add(Entry("empty", Kind.FILE, 0o644, content=FileContent(spool, 0, 0)))
    made.add_symlink("link", "/etc/passwd")
    made.add_file("\udcff", b"bytes")
    return made


def test_what_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    umask = os.umask(0o077)
    try:
        folder.write(tree(tmp_path), out, owners=False)
    finally:
        os.umask(umask)
    assert (out / "closed" / "tool").read_bytes() == b"content"
    assert (out / "closed" / "tool").samefile(out / "closed" / "twin")
    assert (out / "closed" / "tool").stat().st_mode & 0o7777 == 0o4755
    assert (out / "closed").stat().st_mode & 0o7777 == 0o555
    assert (out / "secret").stat().st_mode & 0o7777 == 0o600
    assert (out / "empty").read_bytes() == b""
    assert os.readlink(out / "link") == "/etc/passwd"
    assert (out / "\udcff").read_bytes() == b"bytes"
    assert {path.lstat().st_mtime for path in [*out.iterdir(), *(out / "closed").iterdir()]} == {315532800}
    assert (out / "closed" / "tool").stat().st_uid == os.geteuid()


@AS_ROOT
def test_owners_are_kept_and_setuid_survives(tmp_path: Path) -> None:
    folder.write(tree(tmp_path), tmp_path / "out", owners=True)
    found = (tmp_path / "out" / "closed" / "tool").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (7, 8, 0o4755)


def test_an_empty_folder_will_do_and_a_full_one_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    folder.write(Tree(), out, owners=False)
    (out / "mine").write_text("kept")
    with pytest.raises(EnclaverError, match="the folder is not empty"):
        folder.write(Tree(), out, owners=False)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    made = Tree()
    made.add_symlink("out", str(tmp_path))
    made.add_file("out/escaped", b"")
    with pytest.raises(EnclaverError, match="lies below out, which is a symlink"):
        folder.write(made, tmp_path / "tree", owners=False)
    assert not (tmp_path / "escaped").exists()


def test_devices_are_refused(tmp_path: Path) -> None:
    made = Tree([Entry("null", Kind.CHARACTER_DEVICE, 0o666, device=(1, 3))])
    with pytest.raises(EnclaverError, match="null: a folder cannot hold the tree's device nodes"):
        folder.write(made, tmp_path / "tree", owners=False)


def test_spooled_data_that_is_cut_is_an_error(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"12")
    made = Tree([Entry("x", Kind.FILE, 0o644, content=FileContent(spool, 0, 3))])
    with pytest.raises(EnclaverError, match="the spooled data ends too early"):
        folder.write(made, tmp_path / "tree", owners=False)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnclaverError, match="the tree cannot be written"):
        folder.write(Tree(), tmp_path / "file" / "tree", owners=False)
