from __future__ import annotations

import os
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, layer, layer_cache
from enclaver.core.oci.layer import Layer, Unpacked
from enclaver.core.oci.layer_cache import LayerCache
from enclaver.core.oci.limits import Budget
from enclaver.core.rootfs.entry import FileContent
from tests.unit.enclaver.core.oci.archives import member, packed, sha256, tar

TAR = tar(member("a", b"hello"), member("b", b"x" * 2000))
NAME = sha256(TAR).replace(":", "-") + ".tar"


def read(folder: Path, cache: LayerCache, how: str = "+gzip", *, diff: bytes = TAR) -> Unpacked:
    blob = packed(TAR, how)[0]
    (folder / "blob").write_bytes(blob)
    one = Layer(
        "layer 1 of 1",
        FileContent(folder / "blob", 0, len(blob)),
        digest.parse(sha256(blob)),
        None,
        digest.parse(sha256(diff)),
    )
    return layer.read(one, folder / "spool", Budget(), cache)


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "kept")


def test_a_layer_is_unpacked_once_however_it_is_packed(tmp_path: Path, cache: LayerCache) -> None:
    first = read(tmp_path, cache)
    assert [path.name for path in cache.folder.iterdir()] == [NAME]
    (tmp_path / "spool").unlink()
    again = read(tmp_path, cache, "+zstd")
    assert not (tmp_path / "spool").exists()
    assert again.members == first.members
    assert [again.part(one).head(9) for one in again.members] == [b"hello", b"x" * 9]
    assert again.layer.origin == first.layer.origin


def test_what_needs_no_unpacking_is_not_kept(tmp_path: Path, cache: LayerCache) -> None:
    read(tmp_path, cache, "")
    assert not cache.folder.exists()


@pytest.mark.parametrize("damaged", [b"", TAR[:700], TAR[:520] + b"HELLO" + TAR[525:], b"x" * len(TAR)])
def test_a_kept_layer_that_is_not_what_it_was_is_unpacked_anew(
    tmp_path: Path, cache: LayerCache, damaged: bytes
) -> None:
    cache.folder.mkdir()
    (cache.folder / NAME).write_bytes(damaged)
    assert [one.name for one in read(tmp_path, cache).members] == ["a", "b"]
    assert (cache.folder / NAME).read_bytes() == TAR


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


def test_another_file_system_gets_a_copy(tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    read(tmp_path, cache)
    assert [path.name for path in cache.folder.iterdir()] == [NAME]
    assert (cache.folder / NAME).read_bytes() == TAR
