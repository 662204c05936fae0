from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import (
    CHUNK,
    Entry,
    FileContent,
    InlineContent,
    Kind,
    check_path,
    content_sha256,
    path_bytes,
    path_text,
    printable,
)

EMPTY = InlineContent(b"")


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "a\0b", "x" * 256, "a/" * 2048 + "b"]
)
def test_unclean_paths_are_refused(path: str) -> None:
    with pytest.raises(EnclaverError):
        check_path(path)


@pytest.mark.parametrize("path", ["a", "...", "a/b", ".hidden", "x" * 255, "ä", path_text(b"\xff\xfe")])
def test_clean_paths_are_taken(path: str) -> None:
    check_path(path)


def test_text_that_is_no_path_at_all() -> None:
    with pytest.raises(EnclaverError, match="not text"):
        check_path("\ud800")


def test_bytes_survive_as_text_and_print_safely() -> None:
    raw = b"caf\xe9/\xc3\xa4\x1b[31m"
    assert path_bytes(path_text(raw)) == raw
    assert printable(path_text(raw)).isprintable()
    assert printable("plain/ä") == "plain/ä"


def test_a_symlinks_mode_is_always_the_same() -> None:
    assert Entry("l", Kind.SYMLINK, 0o644, target="x").mode == 0o777


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (lambda: Entry("f", Kind.FILE, 0o644), "content or a link"),
        (lambda: Entry("f", Kind.FILE, 0o644, content=EMPTY, hardlink_to="g"), "content or a link"),
        (lambda: Entry("d", Kind.DIRECTORY, 0o755, content=EMPTY), "nothing else has any"),
        (lambda: Entry("d", Kind.DIRECTORY, 0o755, hardlink_to="x"), "nothing else has any"),
        (lambda: Entry("l", Kind.SYMLINK, 0o777), "needs a target"),
        (lambda: Entry("l", Kind.SYMLINK, 0o777, target=""), "target is empty"),
        (lambda: Entry("l", Kind.SYMLINK, 0o777, target="a\0"), "has a NUL"),
        (lambda: Entry("l", Kind.SYMLINK, 0o777, target="a" * 4096), "too long"),
        (lambda: Entry("d", Kind.DIRECTORY, 0o755, target="x"), "needs a target"),
        (lambda: Entry("c", Kind.CHARACTER_DEVICE, 0o600), "major and a minor"),
        (lambda: Entry("c", Kind.CHARACTER_DEVICE, 0o600, device=(-1, 0)), "out of range"),
        (lambda: Entry("f", Kind.FILE, 0o100644, content=EMPTY), "permission bits"),
        (lambda: Entry("f", Kind.FILE, 0o644, uid=-1, content=EMPTY), "owner"),
        (lambda: Entry("f", Kind.FILE, 0o644, gid=0xFFFFFFFF, content=EMPTY), "owner"),
        (lambda: Entry("f", Kind.FILE, 0o644, hardlink_to="f"), "to itself"),
        (lambda: Entry("f", Kind.FILE, 0o644, hardlink_to="../f"), "relative"),
    ],
)
def test_fields_that_do_not_fit(entry: object, message: str) -> None:
    assert callable(entry)
    with pytest.raises(EnclaverError, match=message):
        entry()


def test_the_parent_of_a_path() -> None:
    assert Entry("a/b/c", Kind.DIRECTORY, 0o755).parent == "a/b"
    assert Entry("a", Kind.DIRECTORY, 0o755).parent == ""


def test_content_in_a_file_is_read_as_a_slice(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    file = tmp_path / "data"
    file.write_bytes(data)
    content = FileContent(file, 5, CHUNK + 17)
    assert b"".join(bytes(chunk) for chunk in content.chunks()) == data[5 : 5 + CHUNK + 17]
    assert list(FileContent(file, 5, 0).chunks()) == []
    assert InlineContent(b"abc").size == 3


def test_a_file_that_shrank_or_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"abc")
    with pytest.raises(EnclaverError, match="ends 1 bytes too early"):
        list(FileContent(file, 0, 4).chunks())
    with pytest.raises(EnclaverError, match="No such file"):
        list(FileContent(tmp_path / "none", 0, 4).chunks())


def test_a_head_reads_no_more_than_it_returns(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"0123456789")
    # The slice claims more than the file has, which nobody notices who asks for less.
    assert FileContent(file, 2, CHUNK).head(3) == b"234"
    assert FileContent(file, 8, 2).head(20) == b"89"
    assert FileContent(file, 8, 0).head(20) == b""
    assert InlineContent(b"abc").head(2) == b"ab"


def test_a_contents_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"0123456789")
    assert (
        content_sha256(FileContent(file, 2, 3)) == sha256(b"234").hexdigest() == content_sha256(InlineContent(b"234"))
    )
