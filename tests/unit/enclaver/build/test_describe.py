from __future__ import annotations

import os
from pathlib import Path

import pytest

from enclaver.build.describe import describe
from enclaver.core.errors import EnclaverError
from tests.unit.enclaver.core.eif.images import (
    METADATA,
    image_bytes,
    key_and_certificate,
    plan,
    resigned,
    saved,
    signature_section,
)

GOOD = image_bytes(plan(b"boot", b"app", b"more"))


def test_what_is_said_of_an_image(tmp_path: Path) -> None:
    document = describe(saved(tmp_path, GOOD))
    assert document["version"] == 1
    assert document["size"] == len(GOOD)
    assert document["architecture"] == "x86_64"
    assert document["cmdline"] == "panic=30"
    assert [section["type"] for section in document["sections"]] == ["kernel", "cmdline", "metadata"] + ["ramdisk"] * 3
    assert document["sections"][0] == {"type": "kernel", "offset": 548, "size": 6}
    assert set(document["measurements"]) == {"PCR0", "PCR1", "PCR2"}
    assert document["metadata"]["ImageName"] == "n"
    assert document["signature"] is None


def test_sections_become_files(tmp_path: Path) -> None:
    path, folder = saved(tmp_path, resigned(GOOD, signed(tmp_path))), tmp_path / "out"
    describe(path, extract=folder)
    found = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert found.pop("signature.cbor")
    assert found == {
        "kernel": b"kernel",
        "cmdline": b"panic=30",
        "metadata.json": METADATA,
        "ramdisk-0.cpio": b"boot",
        "ramdisk-1.cpio": b"app",
        "ramdisk-2.cpio": b"more",
    }
    with pytest.raises(EnclaverError, match="is there already"):
        describe(path, extract=folder)


def test_a_damaged_image_leaves_no_folder(tmp_path: Path) -> None:
    path = saved(tmp_path, GOOD[:-1] + b"x")
    with pytest.raises(EnclaverError, match="CRC"):
        describe(path, extract=tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.eif"]


def signed(tmp_path: Path) -> bytes:
    key, certificate = key_and_certificate()
    pcr0 = bytes.fromhex(describe(saved(tmp_path, GOOD))["measurements"]["PCR0"])
    return signature_section(key, certificate, pcr0)


def test_a_signature_is_verified(tmp_path: Path) -> None:
    document = describe(saved(tmp_path, resigned(GOOD, signed(tmp_path))))
    assert document["signature"] == {
        "algorithm": "ES384",
        "certificate_subject": "CN=signer.example.com",
        "verified": True,
        "problem": None,
    }
    assert "PCR8" in document["measurements"]
    other = image_bytes(plan(b"boot", b"ape", b"more"))
    document = describe(saved(tmp_path, resigned(other, signed(tmp_path))))
    assert document["signature"]["problem"] == "it is over another PCR0"
