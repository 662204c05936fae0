from __future__ import annotations

import contextlib
import io
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import zipped
from enclaver.core.rootfs.entry import Kind
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree


def archive(*members: tuple[str, bytes, int], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of (name, data, mode with type bits)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6))
            info.external_attr = mode << 16
            made.writestr(info, data, compression)
    return out.getvalue()


def read(tmp_path: Path, raw: bytes) -> Tree:
    path = tmp_path / "x.zip"
    path.write_bytes(raw)
    with Spool(tmp_path / "spool") as spool:
        return zipped.read(path, spool, origin="target:x")


def data(tree: Tree, path: str) -> bytes:
    entry = tree.get(path)
    assert entry is not None
    return b"".join(bytes(chunk) for chunk in tree.content(entry).chunks())


def test_modes_are_those_that_say_something(tmp_path: Path) -> None:
    tree = read(
        tmp_path,
        archive(
            ("a/run", b"#!", 0o100700), ("a/data", b"xyz", 0o100600), ("b/", b"", 0o40700), ("l", b"a/run", 0o120777)
        ),
    )
    assert [(entry.path, entry.kind, entry.mode) for entry in tree] == [
        ("a", Kind.DIRECTORY, 0o755),
        ("a/data", Kind.FILE, 0o644),
        ("a/run", Kind.FILE, 0o755),
        ("b", Kind.DIRECTORY, 0o755),
        ("l", Kind.SYMLINK, 0o777),
    ]
    assert data(tree, "a/data") == b"xyz"
    assert {entry.origin for entry in tree} == {"target:x"}


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([("../x", b"", 0o100644)], "relative"),
        ([("/etc/x", b"", 0o100644)], "relative"),
        ([("a/./x", b"", 0o100644)], "relative"),
        ([("a", b"1", 0o100644), ("a/b", b"2", 0o100644)], "below"),
        ([("l", b"/etc", 0o120777), ("l/passwd", b"x", 0o100644)], "below"),
        ([("l", b"", 0o120777)], "target"),
        ([("l", b"x" * 5000, 0o120777)], "target is empty, too long"),
        ([("l", b"a\0b", 0o120777)], "has a NUL"),
        ([("a", b"x", 0o100644), ("a/", b"", 0o40755)], "brought twice"),
        ([("a\\..\\x/../y", b"", 0o100644)], "relative"),
        ([("/", b"", 0o40755)], "relative"),
        ([("//", b"", 0o40755)], "relative"),
        ([("n" * 300, b"", 0o100644)], "too long"),
        ([("pipe", b"", 0o10644)], "pipe: neither a file"),
        ([("null", b"", 0o20666)], "null: neither a file"),
        ([("socket", b"", 0o140666)], "neither a file"),
        ([("folder without a slash", b"", 0o40755)], "neither a file"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, members: list[tuple[str, bytes, int]], what: str) -> None:
    with pytest.raises(EnclaverError, match=what) as caught:
        read(tmp_path, archive(*members))
    assert str(caught.value).startswith(f"{tmp_path}/x.zip: ")


def test_a_link_that_leads_out_is_a_link_of_the_image(tmp_path: Path) -> None:
    tree = read(tmp_path, archive(("l", b"../../etc/passwd", 0o120777), ("m", b"/etc/passwd", 0o120777)))
    assert [entry.target for entry in tree] == ["../../etc/passwd", "/etc/passwd"]


def test_the_order_of_a_link_and_what_is_below_it_does_not_matter(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="l/passwd: lies below l, which is a symlink"):
        read(tmp_path, archive(("l/passwd", b"x", 0o100644), ("l", b"/etc", 0o120777)))


def test_names_are_bytes(tmp_path: Path) -> None:
    raw = archive(("\u00e9", b"1", 0o100644), ("old", b"2", 0o100644)).replace(b"old", b"\xfc\xffx")
    assert [entry.path for entry in read(tmp_path, raw)] == ["\u00e9", "\udcfc\udcffx"]


def test_a_name_with_a_nul_is_refused_and_not_cut(tmp_path: Path) -> None:
    raw = archive(("setup.pyXevil", b"", 0o100644)).replace(b"pyXevil", b"py\0evil")
    with pytest.raises(EnclaverError, match=r"setup\.py.x00evil: the member's name holds a NUL"):
        read(tmp_path, raw)


def test_members_with_data_descriptors_and_of_every_compression(tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        """What can't be sought in: sizes and checksums come behind the data then."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w") as made:
        for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            made.writestr(zipfile.ZipInfo(str(kind)), b"x" * 1000, kind)
    tree = read(tmp_path, bytes(stream.data))
    assert {data(tree, entry.path) for entry in tree} == {b"x" * 1000}
    assert len(tree) == 4


def test_a_wrong_checksum_is_damage(tmp_path: Path) -> None:
    raw = archive(("a", b"hello", 0o100644))
    crc = zlib.crc32(b"hello").to_bytes(4, "little")
    assert raw.count(crc) == 2
    with pytest.raises(EnclaverError, match="no sound zip file: Bad CRC-32"):
        read(tmp_path, raw.replace(crc, bytes(4)))


def test_a_size_that_is_not_the_real_one_is_damage(tmp_path: Path) -> None:
    body, size = b"x" * 1000, (1000).to_bytes(4, "little")
    raw = archive(("a", body, 0o100644))
    for claimed in (999, 1001, 1 << 31):
        with pytest.raises(EnclaverError, match=r"sound zip|fewer than|Bad CRC"):
            read(tmp_path, raw.replace(size, claimed.to_bytes(4, "little")))


def test_a_bomb_is_refused_by_what_it_claims_and_by_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(archive(("a", bytes(1 << 20), 0o100644), ("b", bytes(1 << 20), 0o100644)))
    with Spool(tmp_path / "spool", limit=(1 << 20) + 1) as spool, pytest.raises(EnclaverError, match="b: what is unp"):
        zipped.read(path, spool, origin="target:x")
    assert (tmp_path / "spool").stat().st_size == 1 << 20


def test_what_lies_before_the_archive_is_skipped(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"#!/usr/bin/env python3\n" + archive(("a", b"", 0o100644)))) == 1


def test_two_members_at_one_path_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        raw = archive(("a", b"1", 0o100644), ("a", b"2", 0o100644))
    with pytest.raises(EnclaverError, match="brought twice"):
        read(tmp_path, raw)


def test_the_same_member_twice_is_one(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        raw = archive(("a", b"1", 0o100644), ("a", b"1", 0o100644))
    assert data(read(tmp_path, raw), "a") == b"1"


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    raw = bytearray(archive(("a", b"1", 0o100644)))
    raw[6] |= 1  # The local header's flags, and below the central directory's.
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(EnclaverError, match="a: the member is encrypted"):
        read(tmp_path, bytes(raw))


def test_what_is_no_zip_names_the_file(tmp_path: Path) -> None:
    whole = archive(("a", b"hello", 0o100644))
    for raw in (b"", b"not a zip", whole[:-10], whole[20:]):
        with pytest.raises(EnclaverError, match="no sound zip file") as caught:
            read(tmp_path, raw)
        assert str(caught.value).startswith(str(tmp_path / "x.zip"))
    with pytest.raises(EnclaverError, match="missing: cannot read: No such file"), Spool(tmp_path / "s") as spool:
        zipped.read(tmp_path / "missing", spool, origin="")


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_damage_is_an_error_or_goes_unseen_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int
) -> None:
    chosen = random.Random(seed)
    members = (("a/b", b"hello " * 50, 0o100755), ("c", b"", 0o100644), ("l", b"c", 0o120777))
    kinds = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    raw = bytearray(archive(*members, compression=kinds[seed % 4]))
    for _ in range(flips):
        raw[chosen.randrange(len(raw))] = chosen.randrange(256)
    with contextlib.suppress(EnclaverError):
        read(tmp_path_factory.mktemp("zip"), bytes(raw[: chosen.randrange(len(raw)) or len(raw)] if seed % 3 else raw))
