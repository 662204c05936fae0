from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import limits
from enclaver.core.oci.stream import Chunks
from enclaver.core.oci.tar_members import Member, MemberKind, members
from tests.unit.enclaver.core.oci.archives import (
    GNU,
    V7,
    folder,
    hard_link,
    header,
    long_name,
    member,
    pax,
    refusal,
    short,
    symlink,
    tar,
)


def listed(data: bytes) -> list[Member]:
    return list(members(Chunks(iter([data]))))


def test_every_kind_is_listed_in_order() -> None:
    data = tar(
        folder("./a/", mode=0o1777),
        member("a/file", b"hello", mode=0o104755, uid=1, gid=2),
        symlink("a/link", "../b"),
        hard_link("a/same", "a/file", size=5),
        member("old", b"", kind=b"\0", magic=V7),
        header("old/folder/", b"\0", magic=V7),
    )
    found = listed(data)
    assert [(one.name, one.kind) for one in found] == [
        ("./a/", MemberKind.DIRECTORY),
        ("a/file", MemberKind.FILE),
        ("a/link", MemberKind.SYMLINK),
        ("a/same", MemberKind.HARD_LINK),
        ("old", MemberKind.FILE),
        ("old/folder/", MemberKind.DIRECTORY),
    ]
    file = found[1]
    assert (file.mode, file.uid, file.gid) == (0o4755, 1, 2)
    assert data[file.offset : file.offset + file.size] == b"hello"
    # A link's size says nothing about the bytes behind it.
    assert found[3].size == 0


def test_pax_stands_for_what_the_header_says() -> None:
    told: dict[str, bytes | str] = {
        "path": "p/\u00fc",
        "size": "3",
        "uid": "3000000000",
        "gid": "4000000000",
        "mtime": "1.5",
        "SCHILY.xattr.user.a": b"\0\n",
    }
    [found] = listed(tar(pax(told), member("short", b"abc", size=0, uid=1)))
    assert (found.name, found.size, found.uid, found.gid) == ("p/\u00fc", 3, 3000000000, 4000000000)
    assert found.xattrs == ("SCHILY.xattr.user.a",)


def test_long_names_and_targets() -> None:
    name, target = b"n" * 300 + b"\xff", b"t" * 300
    found = listed(tar(long_name(target, b"K"), long_name(name), symlink("n", "t", magic=GNU), member("x")))
    assert found[0].name.encode("utf-8", "surrogateescape") == name
    assert found[0].link == target.decode()
    assert (found[1].name, found[1].link) == ("x", "")


def test_what_a_pax_header_says_ends_with_its_member() -> None:
    data = tar(pax({"path": "one", "uid": "7"}), member("x"), member("y"))
    assert [(one.name, one.uid) for one in listed(data)] == [("one", 7), ("y", 0)]


def test_a_comment_may_stand_before_other_extensions_and_both_long_names_together() -> None:
    comment = pax({"comment": "git"}, b"g")
    both = long_name(b"to", b"K") + long_name(b"l")
    data = tar(comment, comment, pax({"path": "y"}), member("x"), both, symlink("", ""))
    assert [(one.name, one.link) for one in listed(data)] == [("y", ""), ("l", "to")]


@pytest.mark.parametrize(
    "extensions",
    [
        (pax({"path": "one"}), pax({"uid": "7"})),  # Go forgets the first.
        (long_name(b"one"), pax({"path": "two"})),  # Go takes the first, others the last.
        (pax({"path": "one"}), pax({"comment": "git"}, b"g")),  # Go forgets the first.
        (long_name(b"one"), long_name(b"two")),
        (long_name(b"one"), long_name(b"to", b"K"), long_name(b"two")),
    ],
)
def test_extensions_that_unpackers_put_together_otherwise_are_refused(extensions: tuple[bytes, ...]) -> None:
    with pytest.raises(EnclaverError, match="extended headers follow each other"):
        listed(tar(*extensions, member("x")))


def test_a_comment_for_all_is_no_member() -> None:
    assert [one.name for one in listed(tar(pax({"comment": "git"}, b"g"), member("x")))] == ["x"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tar(header("x", b"3")), "x: is a character device"),
        (tar(header("x", b"4")), "x: is a block device"),
        (tar(header("x", b"6")), "x: is a fifo"),
        (tar(header("x", b"7")), "x: is a contiguous file"),
        (tar(header("x", b"S")), "x: is a sparse file"),
        (tar(pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), member("x")), "x: is a sparse file"),
        (tar(header("x", b"V")), "x: is a volume's label"),
        (tar(header("x", b"M")), "x: is the rest of a file"),
        (tar(header("x", b"D")), "x: is a part of an incremental"),
        (tar(header("x", b"Z")), "x: is of a kind that is not known"),
        (tar(pax({"path": "y"}, b"g"), member("x")), "offset 0x0: a global pax header sets path"),
        (tar(pax({"path": "y"})), "offset 0x400: .*behind an extended header"),
        (pax({"path": "y"}), "offset 0x400: .*behind an extended header"),
        (tar(pax({"uid": "-1"}), member("x")), "offset 0x400: the pax record uid is no number"),
        (member("x", b"12345")[:600], "offset 0x0: the tar file ends 424 bytes too early"),
        (member("x", b"12345")[:300], "offset 0x0: the tar file ends within a header"),
        (pax({"path": "y"})[:515], "the tar file ends within an extended header"),
        (pax({"path": "y"})[:600], "bytes too early"),
        (tar(member("x", size=1 << 50)), "offset 0x0: the tar file ends"),
        (header("x", b"x", size=limits.EXTENSION + 1), "an extended header claims"),
        (header("x", b"L", size=1 << 60), "an extended header claims"),
        (b"no tar file at all".ljust(512), "a header's"),
    ],
    ids=short,
)
def test_what_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        listed(data)


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(10240)], ids=short)
def test_an_archive_ends_with_zeros_or_at_its_end(end: bytes) -> None:
    assert len(listed(member("x", b"abc") + end)) == 1
    assert listed(end) == []


def test_what_gnu_tar_writes_is_listed(tmp_path: Path) -> None:
    deep = tmp_path / "in" / ("d" * 150) / ("e" * 150)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"x" * 3000)
    (deep / "l").symlink_to("t" * 200)
    for form in ("gnu", "pax", "ustar", "v7"):
        # The two old ones can hold no name as long as these.
        where = tmp_path / "in" if form in ("gnu", "pax") else deep
        raw = subprocess.run(
            ["tar", "-c", f"--format={form}", "-C", where, "--exclude=l", "."], check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            expected = [(one.name, one.size, one.uid, one.gid) for one in archive]
        found = [(one.name.rstrip("/"), one.size, one.uid, one.gid) for one in listed(raw)]
        assert found == expected


@given(st.data())
def test_damage_gives_members_or_one_error(data: st.DataObject) -> None:
    raw = bytearray(tar(pax({"path": "long/" * 30}), member("x", b"abc" * 300), long_name(b"n" * 200), folder("y")))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    error = refusal(lambda: listed(cut))
    assert error is None or error.place
