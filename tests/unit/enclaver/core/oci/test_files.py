from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from enclaver.core.errors import EnclaverError
from enclaver.core.oci.files import opened
from tests.unit.enclaver.core.oci.archives import folder, hard_link, header, member, short, symlink, tar

LINKED = tar(
    folder("./"),
    member("./one/layer.tar", b"layer"),
    symlink("two/layer.tar", "../one/layer.tar"),
    hard_link("three", "one/layer.tar"),
    symlink("four", "two/layer.tar"),
)


def found(tmp_path: Path, data: bytes, *names: str) -> list[bytes | None]:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with opened(path, tmp_path) as files:
        contents = [files.find(name) for name in names]
        return [content.head(content.size) if content else None for content in contents]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_an_archive_s_files_and_links(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    names = ("one/layer.tar", "./one/layer.tar", "two/layer.tar", "three", "four", "five", "one")
    assert found(tmp_path, pack(LINKED), *names) == [b"layer"] * 5 + [None, None]


def test_a_folder_s_files(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_bytes(b"blob")
    with opened(tmp_path, tmp_path) as files:
        content = files.find("blobs/x")
        assert content is not None
        assert content.head(9) == b"blob"
        assert files.find("blobs/y") is None


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tar(member("../x")), "leads out of the archive"),
        (tar(member("/etc/x")), "leads out of the archive"),
        (tar(member("a/../../x")), "leads out of the archive"),
        (tar(symlink("x", "/etc/passwd")), "leads out of the archive"),
        (tar(symlink("a/x", "../../etc/passwd")), "leads out of the archive"),
        (tar(hard_link("a/x", "../etc/passwd")), "leads out of the archive"),
        (tar(member("x"), member("./x")), "x: is in the archive twice"),
        (tar(member("x"), symlink("x", "y")), "x: is in the archive twice"),
        (tar(header("x", b"3")), "is a character device"),
        (member("x", b"1234")[:514], "too early|ends within"),
        (b"PK\x03\x04".ljust(1024), "a header's"),
        (b"BZh9", "compressed by bzip2"),
        (gzip.compress(tar(member("x")))[:-9], "no sound gzip file"),
    ],
    ids=short,
)
def test_what_is_refused(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(EnclaverError, match=what) as caught:
        found(tmp_path, data)
    assert caught.value.file == str(tmp_path / "x.tar")


@pytest.mark.parametrize("data", [tar(symlink("x", "x")), tar(symlink("x", "y"), symlink("y", "x"))], ids=short)
def test_links_in_a_circle_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EnclaverError, match="x: is a link to a link"):
        found(tmp_path, data, "x")


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "missing"):
        with pytest.raises(EnclaverError, match=name), opened(tmp_path / name, tmp_path):
            pass
