from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, layer
from enclaver.core.oci.compression import Compression
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.layer import Layer, Unpacked
from enclaver.core.oci.limits import Budget
from enclaver.core.rootfs.entry import FileContent
from tests.unit.enclaver.core.oci.archives import END, header, member, packed, sha256, short, tar

TAR = tar(member("a", b"hello"), member("b", b"x" * 2000))


def read(tmp_path: Path, blob: bytes, *, diff: bytes = TAR, says: bytes | None = None, **options: object) -> Unpacked:
    path = tmp_path / "blob"
    path.write_bytes(blob)
    kind = options.get("packed")
    budget = options.get("budget", Budget())
    assert kind is None or isinstance(kind, Compression)
    assert isinstance(budget, Budget)
    named = digest.parse(sha256(blob if says is None else says))
    content = FileContent(path, 0, len(blob))
    one = Layer("layer 1 of 1", content, named, kind, digest.parse(sha256(diff)))
    return layer.read(one, tmp_path / "spool", budget)


@pytest.mark.parametrize("how", ["", "+gzip", "+zstd"])
def test_contents_lie_where_the_members_say(tmp_path: Path, how: str) -> None:
    found = read(tmp_path, packed(TAR, how)[0])
    assert [(one.name, found.part(one).head(9)) for one in found.members] == [("a", b"hello"), ("b", b"x" * 9)]
    assert found.layer.origin == f"layer:{sha256(TAR)}"
    # What is not compressed is not copied.
    assert (tmp_path / "spool").exists() is bool(how)


def test_another_digest_s_algorithm(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(TAR)
    long = Digest("sha512", hashlib.sha512(TAR).hexdigest())
    content = FileContent(path, 0, len(TAR))
    diff_id = digest.parse(sha256(TAR))
    layer.read(Layer("l", content, long, None, diff_id), tmp_path / "spool", Budget())
    wrong = Layer("l", content, Digest("sha512", "0" * 128), None, diff_id)
    with pytest.raises(EnclaverError, match="its blob is not what"):
        layer.read(wrong, tmp_path / "spool", Budget())


@pytest.mark.parametrize(
    ("blob", "diff", "what"),
    [
        (
            gzip.compress(TAR),
            b"another",
            r"layer 1 of 1: what it unpacks to \(its diff_id\) is not what the image says",
        ),
        (TAR, b"another", r"\(its diff_id\)|its blob"),
        (gzip.compress(TAR)[:-9], TAR, "layer 1 of 1: is no sound gzip file"),
        (gzip.compress(TAR + b"more"), TAR + b"more", "there is more behind the tar file's end"),
        (TAR + TAR, TAR + TAR, "there is more behind the tar file's end"),
        (tar(header("dev", b"4")), tar(header("dev", b"4")), "layer 1 of 1: dev: is a block device"),
    ],
    ids=short,
)
def test_what_is_refused(tmp_path: Path, blob: bytes, diff: bytes, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        read(tmp_path, blob, diff=diff)


@pytest.mark.parametrize("blob", [TAR, gzip.compress(TAR), gzip.compress(TAR)[:-9], b"noise" * 200, b"BZh"], ids=short)
def test_a_changed_blob_is_told_before_all_that_follows_from_it(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(EnclaverError, match="layer 1 of 1: its blob is not what the image says"):
        read(tmp_path, blob, says=b"another")


def test_a_layer_is_packed_as_its_type_says(tmp_path: Path) -> None:
    read(tmp_path, gzip.compress(TAR), packed=Compression.GZIP)
    with pytest.raises(EnclaverError, match="layer 1 of 1: is gzip where the image says zstd"):
        read(tmp_path, gzip.compress(TAR), packed=Compression.ZSTD)
    with pytest.raises(EnclaverError, match="is not compressed where the image says gzip"):
        read(tmp_path, TAR, packed=Compression.GZIP)


def test_padding_is_no_content(tmp_path: Path) -> None:
    for padded in (TAR + bytes(100_000), TAR.removesuffix(END), TAR[:-512]):
        assert len(read(tmp_path, padded, diff=padded).members) == 2


def test_the_budget_is_kept(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="more than 0 MiB in all"):
        read(tmp_path, gzip.compress(TAR), budget=Budget(size=len(TAR) - 1))
    with pytest.raises(EnclaverError, match="more than 1 entries in all"):
        read(tmp_path, TAR, budget=Budget(entries=1))
