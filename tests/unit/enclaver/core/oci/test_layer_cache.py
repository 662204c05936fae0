from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, layer, layer_cache, member_list
from enclaver.core.oci.layer import Layer, Unpacked
from enclaver.core.oci.layer_cache import LayerCache
from enclaver.core.oci.limits import Budget
from enclaver.core.oci.tar_members import Member, MemberKind
from enclaver.core.rootfs.entry import FileContent
from tests.unit.enclaver.core.oci.archives import member, packed, sha256, tar

TAR = tar(member("a", b"hello"), member("b", b"x" * 2000))
STEM = sha256(TAR).replace(":", "-")
NAMES = [f"{STEM}.json", f"{STEM}.tar"]


def read(
    folder: Path, cache: LayerCache, how: str = "+gzip", *, data: bytes = TAR, diff: bytes | None = None
) -> Unpacked:
    return layer.read(layer_of(folder, data, how, diff), folder / "spool", Budget(), cache)


def layer_of(folder: Path, data: bytes, how: str, diff: bytes | None = None) -> Layer:
    blob = packed(data, how)[0]
    (folder / "blob").write_bytes(blob)
    return Layer(
        "layer 1 of 1",
        FileContent(folder / "blob", 0, len(blob)),
        digest.parse(sha256(blob)),
        None,
        digest.parse(sha256(data if diff is None else diff)),
    )


BEYOND = Member("a", MemberKind.FILE, 0, 0, 0, 512, 1 << 20, "", ())


def names(cache: LayerCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir())


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "kept")


def test_a_layer_is_unpacked_once_however_it_is_packed(tmp_path: Path, cache: LayerCache) -> None:
    first = read(tmp_path, cache)
    assert names(cache) == NAMES
    (tmp_path / "spool").unlink()
    again = read(tmp_path, cache, "+zstd")
    assert not (tmp_path / "spool").exists()
    assert again.members == first.members
    assert [again.part(one).head(9) for one in again.members] == [b"hello", b"x" * 9]
    assert again.layer.origin == first.layer.origin


def test_contents_are_digested_once(tmp_path: Path, cache: LayerCache) -> None:
    expected = [hashlib.sha256(data).hexdigest() for data in (b"hello", b"x" * 2000)]
    for _ in range(2):
        found = read(tmp_path, cache)
        assert [found.part(one).sha256 for one in found.members] == expected


def test_all_of_a_layer_is_as_it_was_before_it_was_kept(tmp_path: Path, cache: LayerCache) -> None:
    odd = tar(
        member("d/", kind=b"5", mode=0o1777, uid=7, gid=8),
        member("d/\udcff ü".encode("utf-8", "surrogateescape"), b"1", mode=0o4755),
        member("l", kind=b"2", link="d/x"),
        member("h", kind=b"1", link="l"),
        member("empty", b""),
    )
    fresh, kept = (read(tmp_path, cache, data=odd).members for _ in range(2))
    assert kept == fresh
    assert [one.sha256 is None for one in kept] == [True, False, True, True, False]


def test_what_needs_no_unpacking_is_not_kept(tmp_path: Path, cache: LayerCache) -> None:
    read(tmp_path, cache, "")
    assert not cache.folder.exists()


@pytest.mark.parametrize("damaged", [b"", TAR[:700], TAR[:520] + b"HELLO" + TAR[525:], b"x" * len(TAR), None])
def test_a_kept_layer_that_is_not_what_it_was_is_unpacked_anew(
    tmp_path: Path, cache: LayerCache, damaged: bytes | None
) -> None:
    read(tmp_path, cache)
    kept = cache.folder / f"{STEM}.tar"
    kept.unlink()
    if damaged is not None:
        kept.write_bytes(damaged)
    assert [one.name for one in read(tmp_path, cache).members] == ["a", "b"]
    assert kept.read_bytes() == TAR


@pytest.mark.parametrize("damaged", [b"", b"x" * 64 + b"\n[1,[]]", member_list.render([BEYOND]), None])
def test_a_layer_whose_list_is_none_is_unpacked_anew(tmp_path: Path, cache: LayerCache, damaged: bytes | None) -> None:
    first = read(tmp_path, cache)
    listing = cache.folder / f"{STEM}.json"
    good = listing.read_bytes()
    listing.unlink()
    if damaged is not None:
        listing.write_bytes(damaged)
    assert read(tmp_path, cache).members == first.members
    assert listing.read_bytes() == good


def test_kept_layers_count_as_others_do(tmp_path: Path, cache: LayerCache) -> None:
    read(tmp_path, cache)
    for budget, what in ((Budget(size=len(TAR) - 1), "MiB in all"), (Budget(entries=1), "more than 1 entries")):
        with pytest.raises(EnclaverError, match=what):
            layer.read(layer_of(tmp_path, TAR, "+gzip"), tmp_path / "spool", budget, cache)


def test_a_kept_layer_that_goes_meanwhile_costs_only_time(
    tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(tmp_path, cache)

    def gone(path: Path) -> FileContent:
        raise EnclaverError("cannot read: No such file or directory", file=str(path))

    monkeypatch.setattr(layer_cache, "whole", gone)
    assert [one.name for one in read(tmp_path, cache).members] == ["a", "b"]


def test_a_layer_that_is_not_what_it_says_is_not_kept(tmp_path: Path, cache: LayerCache) -> None:
    with pytest.raises(EnclaverError, match="what it unpacks to"):
        read(tmp_path, cache, diff=b"another")
    assert not cache.folder.exists()


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, cache: LayerCache) -> None:
    cache.folder.write_bytes(b"in the way")
    assert len(read(tmp_path, cache).members) == 2


def test_what_a_killed_build_has_left_is_removed_and_nothing_that_is_in_use(tmp_path: Path, cache: LayerCache) -> None:
    left, used = (cache.folder / f".layer-{name}" for name in ("left", "used"))
    for folder in (left, used):
        folder.mkdir(parents=True)
        (folder / "new").write_bytes(b"some")
    number = os.open(used, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    read(tmp_path, cache)
    os.close(number)
    assert names(cache) == [used.name, *NAMES]
    assert (used / "new").exists()


def test_another_file_system_gets_a_copy(tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    read(tmp_path, cache)
    assert names(cache) == NAMES
    assert (cache.folder / NAMES[1]).read_bytes() == TAR
