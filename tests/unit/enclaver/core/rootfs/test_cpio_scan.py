from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import cpio, cpio_scan, cpio_writer
from enclaver.core.rootfs.entry import FileContent
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.tree import Tree
from tests.unit.enclaver.core.rootfs.trees import trees

FILE, FOLDER, LINK = 0o100644, 0o040755, 0o120777


def record(
    name: bytes, mode: int = FILE, body: bytes = b"", *, owner: tuple[int, int] = (0, 0), links: int = 1
) -> bytes:
    """Return an entry as another tool may write it, with a time."""
    fields = cpio.FIELDS.pack(7, mode, *owner, links, 1700000000, len(body), 0, 0, 0, 0, len(name) + 1, 0)
    head = cpio.MAGIC + fields.hex().encode() + name + b"\0"
    return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)


def archive(*records: bytes, end: bytes = b"") -> bytes:
    return b"".join(records) + record(cpio.TRAILER, 0) + end


def content(path: Path, data: bytes, before: bytes = b"") -> FileContent:
    path.write_bytes(before + data + b"what follows")
    return FileContent(path, len(before), len(data))


def texts(found: FileContent) -> dict[str, bytes]:
    return {path: entry.content.head(1 << 20) for path, entry in cpio_scan.unpacked(found).items()}


@given(trees())
def test_what_this_project_writes_is_read_as_cpio_reads_it(
    tmp_path_factory: pytest.TempPathFactory, written: Tree
) -> None:
    path = tmp_path_factory.mktemp("written") / "x.cpio"
    with path.open("wb") as out:
        cpio_writer.write(written, out)
    strict = cpio.read(path)
    scanned = cpio_scan.unpacked(whole(path))
    assert list(scanned) == [entry.path for entry in strict]
    for entry in strict:
        found = scanned[entry.path]
        assert (stat.S_IMODE(found.mode), found.uid, found.gid) == (
            strict.inode(entry).mode,
            strict.inode(entry).uid,
            strict.inode(entry).gid,
        )
        assert found.is_file == (entry.kind.value == "file")


def test_folders_with_a_slash_and_entries_that_come_again(tmp_path: Path) -> None:
    data = archive(
        record(b".", FOLDER),
        record(b"rootfs/", FOLDER),
        record(b"./rootfs/a", FILE, b"first"),
        record(b"/rootfs//a", FILE, b"second"),
        record(b"rootfs", 0o040700),
        record(b"rootfs/link", LINK, b"a"),
        end=bytes(3),
    )
    # Wherever the archive lies in the file: an image's sections lie at any offset.
    found = content(tmp_path / "x", data, b"odd")
    assert texts(found) == {"rootfs": b"", "rootfs/a": b"second", "rootfs/link": b"a"}
    assert cpio_scan.unpacked(found)["rootfs"].mode == 0o040700


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the archive ends within an entry"),
        (b"\x1f\x8b" + bytes(200), "no newc header here"),
        (cpio.MAGIC + b"x" * 104 + b"a\0", "no newc header here"),
        (record(b"a" * 5000), "a name of 5001 bytes"),
        (record(b"")[:110] + b"a", "a name of 1 bytes"),
        (record(b"a").replace(b"a\0", b"ab"), "a name without a NUL"),
        (record(b"a", FILE, b"x" * 8)[:-8], "claims 8 bytes, more than the archive has left"),
        (archive(record(b"a/../../b")), "leads out of the archive"),
        (record(b"a"), "the archive ends within an entry"),
        (archive(record(b"a"), end=archive(record(b"b"))), "more behind the archive's end"),
        (archive(end=bytes(100_000)), "more behind the archive's end"),
    ],
)
def test_what_is_no_archive_is_refused_with_its_place(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(EnclaverError, match=message) as caught:
        cpio_scan.unpacked(content(tmp_path / "x", data, b"before"))
    assert caught.value.file == str(tmp_path / "x")
    assert caught.value.place is not None
    assert int(caught.value.place.removeprefix("offset "), 16) >= len("before")


def test_a_file_that_got_shorter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(record(b"a"))
    with pytest.raises(EnclaverError, match="the file ends within an entry"):
        cpio_scan.unpacked(FileContent(tmp_path / "x", 0, 10_000))


@given(st.binary(max_size=400), st.integers(0, 1000), st.binary(max_size=8))
def test_damage_is_refused_or_changes_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, where: int, change: bytes
) -> None:
    path = tmp_path_factory.mktemp("damage") / "x"
    data = bytearray(archive(record(b"a/", FOLDER), record(b"a/b", FILE, b"text"), record(b"c", LINK, b"a/b")))
    data[where : where + len(change)] = change
    for one in (bytes(data), junk):
        path.write_bytes(one)
        try:
            found = cpio_scan.unpacked(whole(path))
        except EnclaverError:
            continue
        assert all(len(entry.content.head(1 << 20)) == entry.content.size for entry in found.values())


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True), st.binary(max_size=9), max_size=6)
)
def test_what_is_written_is_found(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    out = io.BytesIO()
    for name, body in files.items():
        out.write(record(name.encode(), FILE, body))
    found = content(tmp_path_factory.mktemp("found") / "x", out.getvalue() + archive())
    assert texts(found) == files
