from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import cpio_writer
from enclaver.core.rootfs.cpio_writer import Archive
from enclaver.core.rootfs.tree import Entry, FileContent, Kind, Tree
from tests.unit.enclaver.core.rootfs.trees import trees


def read(archive: Archive, sizes: list[int]) -> bytes:
    """Read an archive through buffers of these sizes, by turns."""
    found = b""
    with archive.opened() as source:
        while True:
            for size in sizes:
                buffer = bytearray(size)
                count = source.readinto(memoryview(buffer))
                assert count is not None
                found += bytes(buffer[:count])
                if count < size:
                    return found


@given(trees(), st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_the_same_bytes_through_buffers_of_any_size(tree: Tree, sizes: list[int]) -> None:
    out = io.BytesIO()
    report = cpio_writer.write(tree, out)
    archive = Archive(tree)
    assert archive.size == len(out.getvalue())
    for _ in range(2):
        assert read(archive, sizes) == out.getvalue()
        assert archive.digests == report.digests


def in_files(folder: Path, *contents: bytes, digest: str | None = None) -> Tree:
    """A tree of slices of two files, which take turns."""
    tree = Tree()
    for number, content in enumerate(contents):
        path = folder / f"spool{number % 2}"
        offset = path.stat().st_size if path.exists() else 0
        with path.open("ab") as spool:
            spool.write(content)
        tree.add(Entry(f"f{number}", Kind.FILE, 0o644, content=FileContent(path, offset, len(content), digest)))
    return tree


def test_contents_are_slices_of_files(tmp_path: Path) -> None:
    contents = [b"one", b"", b"three" * 1000, b"four", b"x" * (3 << 20)]
    archive = Archive(in_files(tmp_path, *contents))
    found = read(archive, [1 << 20])
    assert all(content in found for content in contents)
    assert archive.digests == {f"f{number}": sha256(one).hexdigest() for number, one in enumerate(contents)}


def test_a_digest_that_is_known_is_not_taken_again(tmp_path: Path) -> None:
    archive = Archive(in_files(tmp_path, b"one", b"two", digest="known"))
    plain = Archive(in_files(tmp_path, b"one", b"two"))
    assert read(archive, [64]) == read(plain, [64])
    assert archive.digests == {"f0": "known", "f1": "known"}


@pytest.mark.parametrize(
    ("left", "what"),
    [(2, r"spool0: the file ends 1 bytes too early.*\n  Build again"), (None, "spool0: cannot read: No such")],
)
def test_a_file_that_has_changed_since(tmp_path: Path, left: int | None, what: str) -> None:
    archive = Archive(in_files(tmp_path, b"one", b"two"))
    spool = tmp_path / "spool0"
    if left is None:
        spool.unlink()
    else:
        spool.write_bytes(b"one"[:left])
    with pytest.raises(EnclaverError, match=what):
        read(archive, [64])


def test_what_has_no_place_in_an_archive_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = Tree([Entry("f", Kind.FILE, 0o644, content=FileContent(tmp_path / "none", 0, 1 << 32))])
    with pytest.raises(EnclaverError, match="f: is 4294967296 bytes"):
        Archive(huge)
    named = Tree()
    named.add_file("TRAILER!!!", b"")
    with pytest.raises(EnclaverError, match="marks a cpio archive's end"):
        Archive(named)
