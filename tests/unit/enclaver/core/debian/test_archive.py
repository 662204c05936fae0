"""Packages as trees: everything a package may hold, and everything it may not."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from enclaver.core.debian import archive
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Kind, Tree
from tests import fake_debian
from tests.fake_debian import Member, folder, hardlink, symlink


def read(tmp_path: Path, data: bytes) -> Tree:
    deb, tar = tmp_path / "x.deb", tmp_path / "x.tar"
    deb.write_bytes(data)
    with tar.open("wb") as out:
        archive.unpack_data(deb, out)
    return archive.read_data(tar, origin="deb:x=1", deb=deb)


def content(tree: Tree, path: str) -> bytes:
    entry = tree.get(path)
    assert entry is not None
    return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())


MEMBERS = [
    folder("./"),
    folder("./usr/"),
    folder("./usr/bin/"),
    Member("./usr/bin/tool", b"\x7fELF" * 1000, mode=0o4755, uid=0, gid=42),
    hardlink("./usr/bin/twin", "./usr/bin/tool"),
    symlink("./usr/bin/link", "../lib/x"),
    Member("./usr/bin/empty"),
    Member("./usr/" + "long/" * 40 + "name", b"long"),
    Member("./usr/bin/\udcff\N{LATIN SMALL LETTER E WITH ACUTE}", b"bytes"),
]


@pytest.mark.parametrize("extension", [".xz", ".zst", ".gz", ""])
def test_modes_owners_links_and_contents_are_kept(tmp_path: Path, extension: str) -> None:
    tree = read(tmp_path, fake_debian.deb(MEMBERS, extension))
    tool = tree.get("usr/bin/tool")
    assert tool is not None
    assert (tool.mode, tool.uid, tool.gid, tool.origin) == (0o4755, 0, 42, "deb:x=1")
    assert content(tree, "usr/bin/tool") == content(tree, "usr/bin/twin") == b"\x7fELF" * 1000
    twin, link = tree.get("usr/bin/twin"), tree.get("usr/bin/link")
    assert twin is not None
    assert link is not None
    assert twin.hardlink_to == "usr/bin/tool"
    assert (link.kind, link.target) == (Kind.SYMLINK, "../lib/x")
    assert content(tree, "usr/bin/empty") == b""
    assert content(tree, "usr/" + "long/" * 40 + "name") == b"long"
    assert content(tree, "usr/bin/\udcff\N{LATIN SMALL LETTER E WITH ACUTE}") == b"bytes"
    assert "" not in tree


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (Member("./dev/null", kind=tarfile.CHRTYPE), "dev/null: the package holds a character device"),
        (Member("./dev/sda", kind=tarfile.BLKTYPE), "dev/sda: the package holds a block device"),
        (Member("./run/pipe", kind=tarfile.FIFOTYPE), "run/pipe: the package holds a fifo"),
        (
            Member("./bin/ping", pax={"SCHILY.xattr.security.capability": "x"}),
            "bin/ping: the package holds a file with extended attributes (SCHILY.xattr.security.capability)",
        ),
        (Member("./a/../../etc/passwd"), "./a/../../etc/passwd: the package has a path that leaves it"),
        (hardlink("./a", "../etc/passwd"), "../etc/passwd: the package has a path that leaves it"),
        (symlink("./a", ""), "a: the symlink's target is empty"),
        (Member("./a", mode=0o644, uid=-1), "a: the owner"),
    ],
)
def test_what_an_image_cannot_hold_is_refused(tmp_path: Path, member: Member, message: str) -> None:
    with pytest.raises(EnclaverError) as error:
        read(tmp_path, fake_debian.deb([member]))
    assert str(error.value).startswith(f"{tmp_path}/x.deb: {message}")


def test_one_path_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"x\.deb: a: brought twice and not the same"):
        read(tmp_path, fake_debian.deb([Member("./a", b"1"), Member("./a", b"2")]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the package is damaged"),
        (b"<html>not a package</html>" * 10, "the package is damaged"),
        (fake_debian.ar([]), "this is not a Debian package of format 2.0; its members are none"),
        (fake_debian.ar([("debian-binary", b"2.0\n")]), "this is not a Debian package of format 2.0"),
        (fake_debian.ar([("debian-binary", b"3.0\n"), ("data.tar", b"")]), "this is not a Debian package"),
        (fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar", b""), ("data.tar.xz", b"")]), "this is not a"),
        (fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar.lzma", b"")]), "the compression .lzma of its data"),
        (fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar.xz", b"no xz")]), "the package is damaged"),
        (fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar.zst", b"no zstd")]), "the package is damaged"),
        (fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar.gz", b"no gzip")]), "the package is damaged"),
        (fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar", b"no tar" * 200)]), "its data cannot be read"),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(EnclaverError) as error:
        read(tmp_path, data)
    assert message in str(error.value)
    assert error.value.file == f"{tmp_path}/x.deb"


@pytest.mark.parametrize("extension", [".xz", ".zst", ".gz"])
def test_cut_data_is_refused(tmp_path: Path, extension: str) -> None:
    whole = fake_debian.compress(fake_debian.data_tar(MEMBERS), extension)
    for length in range(0, len(whole) - 1, 7):
        cut = fake_debian.ar([("debian-binary", b"2.0\n"), (f"data.tar{extension}", whole[:length])])
        with pytest.raises(EnclaverError):
            read(tmp_path, cut)


def test_several_zstd_frames_are_one_archive(tmp_path: Path) -> None:
    tar = fake_debian.data_tar(MEMBERS)
    frames = b"".join(fake_debian.compress(part, ".zst") for part in (tar[:700], tar[700:]))
    tree = read(tmp_path, fake_debian.ar([("debian-binary", b"2.0\n"), ("data.tar.zst", frames)]))
    assert content(tree, "usr/bin/tool") == b"\x7fELF" * 1000


def test_a_missing_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="cannot be unpacked"):
        archive.unpack_data(tmp_path / "gone.deb", io.BytesIO())


def test_verify(tmp_path: Path) -> None:
    deb = tmp_path / "x.deb"
    package = fake_debian.package("dash", b"right")
    with pytest.raises(EnclaverError, match=r"the package dash=1\.0 cannot be read: No such file"):
        archive.verify(deb, package)
    deb.write_bytes(b"wrong")
    wrong = hashlib.sha256(b"wrong").hexdigest()
    with pytest.raises(EnclaverError, match=rf"this is not dash=1\.0: .* the file has {wrong} and 5 bytes"):
        archive.verify(deb, package)
    deb.write_bytes(b"right")
    archive.verify(deb, package)
