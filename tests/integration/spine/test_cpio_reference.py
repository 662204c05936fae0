"""Our archives against cpio(1): it lists and unpacks what we meant, and we read what it packs."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from enclaver.core.rootfs import cpio, cpio_writer
from enclaver.core.rootfs.tree import Entry, InlineContent, Kind, Tree
from tests.integration.tools import require


def sample() -> Tree:
    tree = Tree()
    tree.add_directory("dev", mode=0o755)
    tree.add_directory("tmp", mode=0o1777)
    tree.add_directory("home", mode=0o700, uid=1000, gid=1001)
    tree.add(Entry("dev/console", Kind.CHARACTER_DEVICE, 0o600, device=(5, 1)))
    tree.add(Entry("dev/null", Kind.CHARACTER_DEVICE, 0o666, device=(1, 3)))
    tree.add_file("empty", b"")
    tree.add_file("odd", b"12345", mode=0o4755, uid=1000, gid=1001)
    tree.add_file("name with spaces\tand\udcff", bytes(range(256)) * 1000, mode=0o600)
    tree.add_symlink("home/link", "../odd", uid=1000, gid=1001)
    tree.add(Entry("m", Kind.FILE, 0o640, 1000, 1001, content=InlineContent(b"shared")))
    for name in ("a", "home/z", "n"):
        tree.add(Entry(name, Kind.FILE, 0, hardlink_to="m"))
    tree.add_file("zero", b"", mode=0o600)
    tree.add(Entry("zero2", Kind.FILE, 0, hardlink_to="zero"))
    return tree


def written(tmp_path: Path) -> Path:
    path = tmp_path / "x.cpio"
    with path.open("wb") as out:
        cpio_writer.write(sample(), out)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices and give files away")
def test_cpio_unpacks_what_we_meant(tmp_path: Path) -> None:
    program, archive = require("cpio"), written(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    with archive.open("rb") as file:
        subprocess.run([program, "-id", "--quiet"], stdin=file, cwd=folder, check=True)
    inodes: dict[str, int] = {}
    tree = sample()
    for entry in tree:
        path = os.fsdecode(os.fsencode(folder) + b"/" + entry.path.encode("utf-8", "surrogateescape"))
        status, holder = os.lstat(path), tree.inode(entry)
        assert (status.st_uid, status.st_gid) == (holder.uid, holder.gid), entry.path
        if entry.kind is not Kind.SYMLINK:
            assert stat.S_IMODE(status.st_mode) == holder.mode, entry.path
        if entry.kind is Kind.CHARACTER_DEVICE:
            assert stat.S_ISCHR(status.st_mode)
            assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == entry.device
        elif entry.kind is Kind.SYMLINK:
            assert os.readlink(path) == entry.target
        elif entry.kind is Kind.DIRECTORY:
            assert stat.S_ISDIR(status.st_mode)
        else:
            body = b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())
            assert Path(path).read_bytes() == body, entry.path
            assert status.st_ino == inodes.setdefault(holder.path, status.st_ino), entry.path
    assert sum(len(files) + len(folders) for _, folders, files in os.walk(folder)) == len(tree)


def test_cpio_lists_what_we_meant(tmp_path: Path) -> None:
    program, archive = require("cpio"), written(tmp_path)
    with archive.open("rb") as file:
        run = subprocess.run(
            [program, "-itv", "--quiet", "--numeric-uid-gid"],
            stdin=file,
            env={"TZ": "UTC", "LC_ALL": "C"},
            check=True,
            capture_output=True,
        )
    lines = [line.split() for line in run.stdout.decode("utf-8", "replace").splitlines()]
    assert len(lines) == len(sample())
    first = {line[-1]: line for line in lines if "->" not in line}
    assert first["odd"] == ["-rwsr-xr-x", "1", "1000", "1001", "5", "Jan", "1", "1970", "odd"]
    assert first["tmp"][0] == "drwxrwxrwt"
    assert first["dev/null"][4:6] == ["1,", "3"]
    assert [first[name][1] for name in ("a", "m", "n", "home/z")] == ["4"] * 4
    assert [first[name][4] for name in ("a", "home/z", "m", "n")] == ["0", "0", "0", "6"]


def test_we_read_what_cpio_packs(tmp_path: Path) -> None:
    program = require("cpio")
    folder = tmp_path / "in"
    (folder / "d").mkdir(parents=True)
    (folder / "d" / "a").write_bytes(b"hello")
    os.link(folder / "d" / "a", folder / "d" / "b")
    (folder / "s").symlink_to("d/a")
    listing = "d\nd/a\nd/b\ns\n"
    packed = subprocess.run(
        [program, "-o", "-H", "newc", "--quiet"],
        input=listing.encode(),
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (tmp_path / "x.cpio").write_bytes(packed.stdout)
    tree = cpio.read(tmp_path / "x.cpio")
    assert [entry.path for entry in tree] == ["d", "d/a", "d/b", "s"]
    assert tree.names() == {"d/a": ["d/a", "d/b"]}
    entry = tree.get("d/b")
    assert entry is not None
    assert b"".join(bytes(chunk) for chunk in tree.content(entry).chunks()) == b"hello"
