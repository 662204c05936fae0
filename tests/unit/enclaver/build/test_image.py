from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from enclaver.build.image import Ramdisk, TreeRamdisk, assemble, image
from enclaver.core.eif.metadata import metadata
from enclaver.core.eif.reader import read
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr import report
from enclaver.core.pcr.measure import Measurements, register_of
from enclaver.core.rootfs.tree import Entry, FileContent, Kind, Tree
from enclaver.core.trust.materials import Input, canonical_json, load_tree, save_tree
from tests.unit.enclaver.core.eif.images import key_and_certificate
from tests.unit.enclaver.core.eif.signers import signer

METADATA = metadata(name="n", version="1", tool_version="0", kernel_version="unknown", extras={})


def bz_image() -> bytes:
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x400)
    head[0x600:0x608] = b"6.12.95 "
    return bytes(head)


@pytest.fixture
def kernel_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "bzImage").write_bytes(bz_image())
    (folder / "cmdline").write_bytes(b"reboot=t panic=30\n")
    return folder


@pytest.fixture
def ramdisks(tmp_path: Path) -> list[Ramdisk]:
    made = []
    for name, path in (("boot", "init"), ("app", "rootfs")):
        tree = Tree()
        tree.add_file(path, name.encode(), origin="enclaver")
        ramdisk = Ramdisk(name, tmp_path / f"{name}.cpio", tmp_path / f"{name}.json")
        save_tree(tree, [Input("deb", name, "0" * 64, 1)], ramdisk.archive, ramdisk.entries)
        made.append(ramdisk)
    return made


def build(kernel_dir: Path, ramdisks: Sequence[Ramdisk | TreeRamdisk], output: Path, **changes: Any) -> Measurements:
    arguments: dict[str, Any] = {
        "kernel_dir": kernel_dir,
        "architecture": "x86_64",
        "ramdisks": ramdisks,
        "name": "hello",
        "version": "1",
        "tool_version": "0.1",
        "output": output,
    }
    return image(**{**arguments, **changes})


def test_three_files_that_agree(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    out = tmp_path / "dist"
    out.mkdir()
    found = build(kernel_dir, ramdisks, out / "enclave.eif")
    assert sorted(os.listdir(out)) == ["enclave.eif", "enclave.materials.json", "enclave.pcrs.json"]
    eif = read(out / "enclave.eif")
    assert eif.measurements == found == report.load(out / "enclave.pcrs.json")
    assert (eif.cmdline, eif.header.memory_bytes, eif.header.cpus) == ("reboot=t panic=30", 4096 << 20, 2)
    assert eif.metadata is not None
    assert eif.metadata["BuildMetadata"]["KernelVersion"] == "6.12.95"
    materials = json.loads((out / "enclave.materials.json").read_bytes())
    raw = (out / "enclave.eif").read_bytes()
    assert materials["eif"] == {"sha256": sha256(raw).hexdigest(), "size": len(raw)}
    assert materials["measurements"] == found.registers()
    assert [item["kind"] for item in materials["inputs"]] == ["deb", "deb", "kernel"]
    assert [item["name"] for item in materials["ramdisks"]] == ["boot", "app"]
    for item, ramdisk in zip(materials["ramdisks"], ramdisks, strict=True):
        assert item["sha256"] == sha256(ramdisk.archive.read_bytes()).hexdigest()
        assert item["entries"][0]["sha256"] == sha256(item["name"].encode()).hexdigest()


def test_equal_inputs_give_equal_files(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build(kernel_dir, ramdisks, tmp_path / name / "x.eif")
    for name in ("x.eif", "x.pcrs.json", "x.materials.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_ramdisk_that_was_written_nowhere_gives_the_same_files(
    tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]
) -> None:
    trees = [TreeRamdisk(one.name, *load_tree(one.archive, one.entries)) for one in ramdisks]
    assert build(kernel_dir, trees, tmp_path / "trees.eif") == build(kernel_dir, ramdisks, tmp_path / "files.eif")
    for kind in ("eif", "pcrs.json", "materials.json"):
        assert (tmp_path / f"trees.{kind}").read_bytes() == (tmp_path / f"files.{kind}").read_bytes()
    for tree, ramdisk in zip(trees, ramdisks, strict=True):
        again = tree.saved(tmp_path / "again.cpio", tmp_path / "again.json")
        assert again.archive.read_bytes() == ramdisk.archive.read_bytes()
        assert again.entries.read_bytes() == ramdisk.entries.read_bytes()


def test_a_file_that_ends_while_the_image_is_made_leaves_none(
    tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]
) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"x" * 5000)
    tree = Tree([Entry("f", Kind.FILE, 0o644, content=FileContent(spool, 0, 5001))])
    with pytest.raises(EnclaverError, match="spool: the file ends 1 bytes too early"):
        build(kernel_dir, [ramdisks[0], TreeRamdisk("app", tree, [])], tmp_path / "x.eif")
    assert not list(tmp_path.glob("*x.*"))


def test_name_and_defaults_change_no_register(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    one = build(kernel_dir, ramdisks, tmp_path / "one.eif")
    two = build(
        kernel_dir, ramdisks, tmp_path / "two.eif", name="x", version="2", memory_mb=512, cpus=4, extras={"a": 1}
    )
    assert one == two
    assert (tmp_path / "one.eif").read_bytes() != (tmp_path / "two.eif").read_bytes()


def describe_kernel(kernel_dir: Path) -> None:
    document = {
        "version": 1,
        "architecture": "x86_64",
        "kernel_version": "6.12.95",
        "inputs": [{"kind": "source", "name": "linux", "sha256": "1" * 64, "size": 5}],
        "sha256": sha256(bz_image()).hexdigest(),
    }
    (kernel_dir / "kernel.json").write_bytes(canonical_json(document))


def test_a_built_kernels_inputs_are_materials(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    describe_kernel(kernel_dir)
    build(kernel_dir, ramdisks, tmp_path / "x.eif")
    inputs = json.loads((tmp_path / "x.materials.json").read_bytes())["inputs"]
    assert {"kind": "source", "name": "linux", "sha256": "1" * 64, "size": 5} in inputs


def test_what_is_missing_or_unfit_is_named_and_nothing_is_left(
    tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]
) -> None:
    out = tmp_path / "dist"
    out.mkdir()

    def refused(message: str, **changes: Any) -> None:
        with pytest.raises(EnclaverError, match=message):
            build(kernel_dir, changes.pop("ramdisks", ramdisks), out / "x.eif", **changes)
        assert os.listdir(out) == []

    refused("there is no kernel: no Image", architecture="aarch64")
    refused("memory_mb is 0", memory_mb=0)
    refused("cpus is 0", cpus=0)
    refused("1 to 29 ramdisks, not 0", ramdisks=[])
    refused("none: cannot read", ramdisks=[Ramdisk("x", tmp_path / "none", ramdisks[0].entries)])
    refused("does not describe", ramdisks=[Ramdisk("x", ramdisks[0].archive, ramdisks[1].entries)])
    (kernel_dir / "Image").write_bytes(bz_image())
    refused("is a kernel for x86_64, not for aarch64", architecture="aarch64")
    (kernel_dir / "kernel.json").write_bytes(b"{")
    refused(r"kernel\.json: is not readable JSON")
    (kernel_dir / "kernel.json").unlink()
    (kernel_dir / "cmdline").unlink()
    refused("cmdline: cannot read")


def test_a_signed_image(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    signs = signer(*key_and_certificate())
    unsigned = build(kernel_dir, ramdisks, tmp_path / "unsigned.eif")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found = build(kernel_dir, ramdisks, tmp_path / name / "x.eif", signer=signs)
    assert (
        found == replace(unsigned, pcr8=register_of(signs.certificate_der)) == report.load(tmp_path / "one/x.pcrs.json")
    )
    eif = read(tmp_path / "one" / "x.eif")
    assert eif.signature is not None
    assert eif.signature.problem(found.pcr0) is None
    materials = json.loads((tmp_path / "one" / "x.materials.json").read_bytes())
    assert materials["measurements"] == found.registers()
    der = signs.certificate_der
    named = {"kind": "certificate", "name": signs.subject, "sha256": sha256(der).hexdigest(), "size": len(der)}
    assert [item for item in materials["inputs"] if item["kind"] == "certificate"] == [named]
    for name in ("x.eif", "x.pcrs.json", "x.materials.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_signer_that_fails_leaves_nothing(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    out = tmp_path / "dist"
    out.mkdir()
    other, certificate = key_and_certificate()[0], key_and_certificate()[1]
    with pytest.raises(EnclaverError, match="the signature that was made is not valid"):
        build(kernel_dir, ramdisks, out / "x.eif", signer=signer(other, certificate))
    assert os.listdir(out) == []


def test_assemble_alone(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    found = assemble(
        kernel=kernel_dir / "bzImage",
        cmdline="reboot=t panic=30",
        ramdisks=[ramdisk.archive for ramdisk in ramdisks],
        architecture="x86_64",
        metadata=METADATA,
        output=tmp_path / "x.eif",
    )
    assert found == build(kernel_dir, ramdisks, tmp_path / "y.eif")
    assert found == read(tmp_path / "x.eif").measurements


def test_assemble_checks_the_architecture(tmp_path: Path, kernel_dir: Path) -> None:
    with pytest.raises(EnclaverError, match="is a kernel for x86_64; the image is for aarch64"):
        assemble(
            kernel=kernel_dir / "bzImage",
            cmdline="",
            ramdisks=[kernel_dir / "bzImage"],
            architecture="aarch64",
            metadata=METADATA,
            output=tmp_path / "x.eif",
        )


def test_an_aarch64_image(tmp_path: Path, kernel_dir: Path, ramdisks: list[Ramdisk]) -> None:
    (kernel_dir / "Image").write_bytes(bytes(56) + b"ARM\x64" + bytes(4))
    build(kernel_dir, ramdisks, tmp_path / "x", architecture="aarch64")
    assert read(tmp_path / "x").header.architecture == "aarch64"
    assert (tmp_path / "x.pcrs.json").exists()
