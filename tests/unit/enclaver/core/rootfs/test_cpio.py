from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import cpio, cpio_writer
from enclaver.core.rootfs.tree import Entry, FileContent, InlineContent, Kind, Tree
from tests.unit.enclaver.core.rootfs.trees import flat, trees


def packed(tree: Tree) -> bytes:
    out = io.BytesIO()
    report = cpio_writer.write(tree, out)
    assert report.size == len(out.getvalue())
    return out.getvalue()


def one_file(data: bytes = b"hello", path: str = "f") -> Tree:
    tree = Tree()
    tree.add_file(path, data)
    return tree


def record(name: bytes, body: bytes = b"", **fields: int) -> bytes:
    """One entry as bytes, any field of which can be wrong."""
    names = "ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check"
    values = dict.fromkeys(names.split(), 0)
    values |= {"mode": 0o100644, "nlink": 1, "filesize": len(body), "namesize": len(name) + 1} | fields
    head = b"070701" + b"".join(b"%08X" % value for value in values.values()) + name + b"\0"
    return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)


TRAILER = record(b"TRAILER!!!", mode=0)


def read(tmp_path: Path, data: bytes) -> Tree:
    path = tmp_path / "x.cpio"
    path.write_bytes(data)
    return cpio.read(path)


def test_the_bytes_of_a_small_archive() -> None:
    data = packed(one_file())
    assert data[:110] == (
        b"070701"
        + b"00000001"
        + b"000081a4"
        + b"00000000" * 2
        + b"00000001"
        + b"00000000"
        + b"00000005"
        + b"00000000" * 4
        + b"00000002"
        + b"00000000"
    )
    assert data[110:120] == b"f\0hello\0\0\0"
    assert data[120:].startswith(b"070701")
    assert b"TRAILER!!!\0" in data
    assert len(data) == 512


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tree=trees())
def test_what_is_written_is_what_is_read(tmp_path: Path, tree: Tree) -> None:
    data = packed(tree)
    again = read(tmp_path, data)
    assert flat(again) == flat(tree)
    assert packed(again) == data
    assert packed(Tree(reversed(list(tree)))) == data


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(tree=trees(), data=st.data())
def test_damage_is_read_or_refused_but_never_crashes(tmp_path: Path, tree: Tree, data: st.DataObject) -> None:
    raw = bytearray(packed(tree))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(b"0123456789aAfFgx\0/.\xff"))
    del raw[data.draw(st.integers(0, len(raw))) :]
    with suppress(EnclaverError):
        packed(read(tmp_path, bytes(raw)))


def test_digests_are_reported_for_every_name() -> None:
    tree = one_file()
    tree.add(Entry("g", Kind.FILE, 0, hardlink_to="f"))
    tree.add_file("e", b"")
    digests = cpio_writer.write(tree, io.BytesIO()).digests
    hello = sha256(b"hello").hexdigest()
    assert digests == {"e": sha256().hexdigest(), "f": hello, "g": hello}


def test_the_last_of_hard_links_carries_the_body(tmp_path: Path) -> None:
    tree = one_file(path="b")
    tree.add(Entry("a", Kind.FILE, 0, hardlink_to="b"))
    tree.add(Entry("c", Kind.FILE, 0, hardlink_to="b"))
    data = packed(tree)
    assert data.index(b"hello") > data.index(b"c\0")
    assert data.count(b"hello") == 1
    assert read(tmp_path, data).names() == {"a": ["a", "b", "c"]}


def test_a_body_on_the_first_link_is_read_too(tmp_path: Path) -> None:
    tree = read(tmp_path, record(b"a", b"hi", ino=7, nlink=2) + record(b"b", ino=7, nlink=2) + TRAILER)
    assert tree.names() == {"a": ["a", "b"]}
    assert tree.content(next(iter(tree))).size == 2


def test_a_file_of_4_gib_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    tree = Tree([Entry("big", Kind.FILE, 0o644, content=FileContent(tmp_path / "none", 0, 1 << 32))])
    with pytest.raises(EnclaverError, match=r"big: is 4294967296 bytes; .* 4 GiB"):
        packed(tree)


def test_the_trailers_name_is_refused() -> None:
    with pytest.raises(EnclaverError, match="archive's end"):
        packed(one_file(path="TRAILER!!!"))
    assert packed(one_file(path="TRAILER!!!!"))


def test_an_incomplete_tree_is_refused() -> None:
    with pytest.raises(EnclaverError, match="its folder a is missing"):
        packed(one_file(path="a/f"))


@dataclass
class Full(io.RawIOBase):
    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_an_error_of_the_output_comes_through() -> None:
    with pytest.raises(OSError, match="No space"):
        cpio_writer.write(one_file(), Full())  # type: ignore[arg-type]  # Only write is used.


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends within an entry's header"),
        (record(b"f")[:-20], "ends within an entry's header|ends within an entry's name"),
        (record(b"f"), "ends within an entry's header"),
        (b"070702" + record(b"f")[6:] + TRAILER, "no newc header"),
        (b"070701" + b"+" + record(b"f")[7:] + TRAILER, "not hexadecimal"),
        (b"070701" + b" " + record(b"f")[7:] + TRAILER, "not hexadecimal"),
        (record(b"f", namesize=0) + TRAILER, "name of 0 bytes"),
        (record(b"f", namesize=1) + TRAILER, "name of 1 bytes"),
        (record(b"f", namesize=4097) + TRAILER, "name of 4097 bytes"),
        (record(b"f\0g") + TRAILER, "NUL inside"),
        (record(b"f", namesize=1 << 31) + TRAILER, "name of 2147483648 bytes"),
        (record(b"f", filesize=0xFFFFFFFF) + TRAILER, "claims 4294967295 bytes"),
        (record(b"/f") + TRAILER, "must be relative"),
        (record(b"../f") + TRAILER, "must be relative"),
        (record(b"./f") + TRAILER, "must be relative"),
        (record(b"f") * 2 + TRAILER, "twice"),
        (record(b"d/f") + TRAILER, "folder d is missing"),
        (record(b"f", mode=0o010644) + TRAILER, "neither file"),
        (record(b"f", mode=0o060644) + TRAILER, "neither file"),
        (record(b"d", b"x", mode=0o040755) + TRAILER, "cannot have"),
        (record(b"c", b"x", mode=0o020600) + TRAILER, "cannot have"),
        (record(b"l", mode=0o120777) + TRAILER, "target is empty"),
        (record(b"l", b"x" * 4096, mode=0o120777) + TRAILER, "too long"),
        (record(b"f", uid=0xFFFFFFFF) + TRAILER, "out of range"),
        (record(b"TRAILER!!!", b"x"), "trailer has a body"),
        (TRAILER + b"x", "behind the archive's end"),
        (TRAILER + bytes(4096), "behind the archive's end"),
        (record(b"a", b"1", nlink=2) + record(b"b", b"2", nlink=2) + TRAILER, "a body each"),
        (record(b"a", nlink=2) + record(b"b", b"2", nlink=2, uid=1) + TRAILER, "differ in mode or owner"),
    ],
    ids=range(29),
)
def test_what_cannot_be_read(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(EnclaverError, match=message) as caught:
        read(tmp_path, data)
    assert caught.value.file == str(tmp_path / "x.cpio")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="Is a directory"):
        cpio.read(tmp_path)
    with pytest.raises(EnclaverError, match="No such file"):
        cpio.read(tmp_path / "none")


def test_inode_numbers_and_times_of_others_do_not_matter(tmp_path: Path) -> None:
    data = record(b"f", b"hello", ino=99, mtime=5, devmajor=8, devminor=1) + TRAILER
    assert packed(read(tmp_path, data)) == packed(one_file())
    assert InlineContent(b"hello").size == 5
