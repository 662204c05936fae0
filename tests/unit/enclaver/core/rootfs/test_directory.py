from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import directory
from enclaver.core.rootfs.tree import Kind


def test_modes_are_normal_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    (tmp_path / "d" / "run").write_bytes(b"#!")
    (tmp_path / "d" / "run").chmod(0o700)
    (tmp_path / "plain").write_bytes(b"hello")
    (tmp_path / "plain").chmod(0o604)
    (tmp_path / "link").symlink_to("../outside")
    tree = directory.read(tmp_path, origin="files", uid=7, gid=8)
    assert [(entry.path, entry.kind, entry.mode, entry.target) for entry in tree] == [
        ("d", Kind.DIRECTORY, 0o755, None),
        ("d/run", Kind.FILE, 0o755, None),
        ("link", Kind.SYMLINK, 0o777, "../outside"),
        ("plain", Kind.FILE, 0o644, None),
    ]
    assert {(entry.uid, entry.gid, entry.origin) for entry in tree} == {(7, 8, "files")}
    plain = tree.get("plain")
    assert plain is not None
    assert plain.content is not None
    assert b"".join(bytes(chunk) for chunk in plain.content.chunks()) == b"hello"


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).write_bytes(b"x")
    assert [entry.path for entry in directory.read(tmp_path, origin="")] == ["\udcff\udcfe"]


def test_hard_links_become_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    os.link(tmp_path / "a", tmp_path / "b")
    assert [entry.hardlink_to for entry in directory.read(tmp_path, origin="")] == [None, None]


def test_a_fifo_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EnclaverError, match="pipe: is a fifo"):
        directory.read(tmp_path, origin="")


def test_a_socket_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # A socket's path is short by law; tmp_path need not be.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(EnclaverError, match="s: is a socket"):
            directory.read(tmp_path, origin="")


def xattrs(path: Path, name: str) -> None:
    try:
        os.setxattr(path, name, b"x")
    except OSError as error:
        pytest.skip(f"{name} cannot be set here: {error}")


def test_an_extended_attribute_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    xattrs(tmp_path / "f", "user.note")
    with pytest.raises(EnclaverError, match=r"f: has the extended attribute user\.note"):
        directory.read(tmp_path, origin="")


def test_a_machines_labels_are_not_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"")
    monkeypatch.setattr(os, "listxattr", lambda path, follow_symlinks: ["security.selinux"])
    assert len(directory.read(tmp_path, origin="")) == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"none: cannot read: No such"):
        directory.read(tmp_path / "none", origin="")
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(EnclaverError, match="Not a directory"):
        directory.read(tmp_path / "f", origin="")


@pytest.mark.slow
def test_a_very_deep_folder_is_refused_not_a_crash(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    try:
        with pytest.raises(EnclaverError, match="too long"):
            directory.read(tmp_path, origin="")
    finally:
        # Too deep for pytest's own cleaning, which recurses.
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
