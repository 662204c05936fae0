from __future__ import annotations

import contextlib
import gzip
import io
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import tarred
from enclaver.core.rootfs.entry import Kind
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree


def member(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o600, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.uid, info.mtime = kind, mode, link, 4711, 1234567
    return info


def archive(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as made:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def read(tmp_path: Path, raw: bytes) -> Tree:
    path = tmp_path / "x.tar"
    path.write_bytes(raw)
    with Spool(tmp_path / "spool") as spool:
        return tarred.read(path, spool, origin="target:x")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_every_compression_gives_the_same_tree(tmp_path: Path, mode: str) -> None:
    long_name = "/".join(["folder" * 10] * 5)
    tree = read(
        tmp_path,
        archive(
            (member("./"), b""),
            (member("./bin", tarfile.DIRTYPE), b""),
            (member("./bin/run", mode=0o711), b"#!"),
            (member("./bin/same", tarfile.LNKTYPE, mode=0o711, link="./bin/run"), b""),
            (member("link", tarfile.SYMTYPE, link="bin/run"), b""),
            (member(long_name), b"deep"),
            mode=mode,
        ),
    )
    found = {entry.path: entry for entry in tree}
    assert (found["bin/run"].mode, found["bin/run"].uid) == (0o755, 0)
    assert found["bin/same"].hardlink_to == "bin/run"
    assert found["link"].target == "bin/run"
    assert found[long_name].kind is Kind.FILE


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (member("../x"), "relative"),
        (member("/etc/x"), "relative"),
        (member("a", tarfile.CHRTYPE), "neither a file"),
        (member("a", tarfile.FIFOTYPE), "neither a file"),
        (member("a", tarfile.LNKTYPE, link="../../etc/passwd"), "relative"),
        (member("a", tarfile.LNKTYPE, link="missing"), "not a file of the image"),
        (member("a", tarfile.LNKTYPE, link="/etc/passwd"), "relative"),
        (member("a", tarfile.LNKTYPE, link="a"), "link to itself"),
        (member("a", tarfile.SYMTYPE, link=""), "target is empty"),
        (member("a", tarfile.SYMTYPE, link="x" * 5000), "target is empty, too long"),
        (member("a", tarfile.BLKTYPE), "neither a file"),
        (member("a/../../x"), "relative"),
        (member("n" * 300), "too long"),
        (member("/".join(["n" * 200] * 21)), "too long"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_hostile_members_are_refused(tmp_path: Path, bad: tarfile.TarInfo, what: str, form: int) -> None:
    with pytest.raises(EnclaverError, match=what) as caught:
        read(tmp_path, archive((bad, b""), form=form))
    assert str(caught.value).startswith(f"{tmp_path}/x.tar: ")


def test_a_link_that_leads_out_is_a_link_of_the_image(tmp_path: Path) -> None:
    tree = read(tmp_path, archive((member("l", tarfile.SYMTYPE, link="../../etc/passwd"), b"")))
    assert [entry.target for entry in tree] == ["../../etc/passwd"]


def test_hard_links_to_links_and_to_later_files_are_names_of_one_file(tmp_path: Path) -> None:
    tree = read(
        tmp_path,
        archive(
            (member("early", tarfile.LNKTYPE, link="file"), b""),
            (member("file"), b"x"),
            (member("one", tarfile.LNKTYPE, link="file"), b""),
            (member("two", tarfile.LNKTYPE, link="one"), b""),
        ),
    )
    assert tree.names() == {"file": ["early", "file", "one", "two"]}
    link = member("l", tarfile.SYMTYPE, link="x")
    with pytest.raises(EnclaverError, match="target l is not a file of the image"):
        read(tmp_path, archive((link, b""), (member("m", tarfile.LNKTYPE, link="l"), b"")))


def test_two_members_at_one_path_are_refused_unless_they_are_the_same(tmp_path: Path) -> None:
    assert len(read(tmp_path, archive((member("a"), b"1"), (member("a"), b"1")))) == 1
    with pytest.raises(EnclaverError, match="a: brought twice"):
        read(tmp_path, archive((member("a"), b"1"), (member("a"), b"2")))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_names_are_bytes_and_long(tmp_path: Path, form: int) -> None:
    names = ["caf\u00e9", "latin\udce9", "deep/" * 40 + "x" * 200]
    tree = read(tmp_path, archive(*((member(name), b"x") for name in names), form=form))
    assert sorted(entry.path for entry in tree if entry.content) == sorted(names)


def test_a_sparse_file_is_whole(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.write(b"start")
        file.seek(1 << 20)
        file.write(b"middle")
        file.truncate(2 << 20)
    for form in ("gnu", "posix"):
        tar = ["tar", f"--format={form}", "--sparse", "-cf", "made.tar", "holes"]
        subprocess.run(tar, cwd=tmp_path, check=True)
        assert (tmp_path / "made.tar").stat().st_size < 1 << 20
        tree = read(tmp_path, (tmp_path / "made.tar").read_bytes())
        entry = tree.get("holes")
        assert entry is not None
        assert entry.content is not None
        assert b"".join(map(bytes, entry.content.chunks())) == (tmp_path / "holes").read_bytes()


def test_a_bomb_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(archive((member("a"), bytes(1 << 20)), (member("b"), bytes(1 << 20)), mode="w:xz"))
    with Spool(tmp_path / "spool", limit=1 << 20) as spool, pytest.raises(EnclaverError, match="x.tar: b: what is unp"):
        tarred.read(path, spool, origin="target:x")


@pytest.mark.parametrize("key", ["SCHILY.xattr.security.capability", "LIBARCHIVE.xattr.user.x", "SCHILY.acl.access"])
def test_an_extended_attribute_is_named(tmp_path: Path, key: str) -> None:
    info = member("ping")
    info.pax_headers = {key: "x"}
    with pytest.raises(EnclaverError, match=f"ping: has the extended attribute {key}"):
        read(tmp_path, archive((info, b"")))


def test_a_label_of_selinux_says_nothing_about_the_file(tmp_path: Path) -> None:
    info = member("a")
    labels = ("RHT.security.selinux", "SCHILY.xattr.security.selinux", "LIBARCHIVE.xattr.security.selinux")
    info.pax_headers = dict.fromkeys(labels, "x")
    assert len(read(tmp_path, archive((info, b"")))) == 1


def test_an_empty_archive_is_an_empty_tree(tmp_path: Path) -> None:
    assert len(read(tmp_path, archive())) == 0


def test_the_whole_of_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """tarfile itself takes what is no header for the end and leaves out the rest without a word."""
    raw = archive((member("a"), b"x"), (member("b"), b"y"), (member("c"), b"z"))
    second = bytearray(raw)
    second[1024 + 200] ^= 1
    with pytest.raises(EnclaverError, match="offset 0x400: the archive is damaged or cut short here"):
        read(tmp_path, bytes(second))
    with pytest.raises(EnclaverError, match="offset 0x800: the archive is damaged or cut short here"):
        read(tmp_path, raw[:2048])
    with pytest.raises(EnclaverError, match="more behind the archive's end"):
        read(tmp_path, raw + archive((member("d"), b"")))
    with pytest.raises(EnclaverError, match="more behind the archive's end"):
        read(tmp_path, gzip.compress(raw + bytes(3 << 20)))


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_wrong_checksum_behind_the_last_member_is_seen(tmp_path: Path, mode: str) -> None:
    raw = bytearray(archive((member("a"), b"x"), mode=mode))
    # gzip ends with CRC and size, xz with an index and bzip2 with its CRC, each of them behind all data.
    raw[-7 if mode == "w:gz" else -6] ^= 0xFF
    with pytest.raises(EnclaverError, match=r"x\.tar: (no sound tar file|cannot read)"):
        read(tmp_path, bytes(raw))
    with pytest.raises(EnclaverError, match=r"x\.tar: (no sound tar file|cannot read)"):
        read(tmp_path, bytes(raw[:-9]))


def test_headers_nested_without_end_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    one = info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    with pytest.raises(EnclaverError, match="no sound tar file"):
        read(tmp_path, one * 5000)


def test_a_file_through_a_symlink_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="below"):
        read(tmp_path, archive((member("l", tarfile.SYMTYPE, link="/etc"), b""), (member("l/passwd"), b"x")))


def test_what_is_no_tar_and_what_is_cut_short_names_the_file(tmp_path: Path) -> None:
    for raw in (b"", b"not a tar", b"\x28\xb5\x2f\xfd zstd", archive((member("a"), b"x" * 2000))[:1500]):
        with pytest.raises(EnclaverError) as caught:
            read(tmp_path, raw)
        assert str(caught.value).startswith(str(tmp_path / "x.tar"))
        assert "Make the archive anew." in str(caught.value)
    with pytest.raises(EnclaverError, match="missing: cannot read: .*No such file"), Spool(tmp_path / "s") as spool:
        tarred.read(tmp_path / "missing", spool, origin="")


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(1, 8), st.sampled_from(["w", "w:gz", "w:xz", "w:bz2"]))
def test_damage_is_an_error_or_goes_unseen_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int, mode: str
) -> None:
    raw = bytearray(archive((member("a/b"), b"hello " * 50), (member("l", tarfile.SYMTYPE, link="a"), b""), mode=mode))
    chosen = random.Random(seed)
    for _ in range(flips):
        raw[chosen.randrange(len(raw))] = chosen.randrange(256)
    with contextlib.suppress(EnclaverError):
        read(tmp_path_factory.mktemp("tar"), bytes(raw))
