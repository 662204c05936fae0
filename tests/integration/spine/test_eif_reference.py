"""Our images against AWS's own tools: the same inputs give the same registers, either side reads the other's."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from enclaver.build.describe import describe
from enclaver.build.image import assemble
from enclaver.core.eif.format import Architecture
from enclaver.core.eif.metadata import metadata
from enclaver.core.pcr.measure import Measurements
from tests.integration.tools import require
from tests.unit.enclaver.core.eif.images import key_and_certificate

CMDLINE = "reboot=t panic=30 pci=off console=ttyS0 random.trust_cpu=on"
METADATA = metadata(
    name="reference", version="1.2", tool_version="0.1", kernel_version="6.12.95", extras={"team": "ü", "n": [1]}
)


@dataclass(frozen=True)
class Inputs:
    kernel: Path
    ramdisks: list[Path]
    architecture: Architecture = "x86_64"


def make_inputs(folder: Path, *, ramdisks: int = 2, architecture: Architecture = "x86_64") -> Inputs:
    noise = random.Random(42)  # The same bytes each time, as a build's inputs are.
    head = bytearray(noise.randbytes(100_003))
    if architecture == "x86_64":
        head[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", head, 0x20E, 0)
    else:
        head[56:60] = b"ARM\x64"
    kernel = folder / "kernel"
    kernel.write_bytes(head)
    paths = [folder / f"ramdisk-{number}" for number in range(ramdisks)]
    for number, path in enumerate(paths):
        path.write_bytes(noise.randbytes(300_007 + 512 * number))
    return Inputs(kernel, paths, architecture)


def ours(inputs: Inputs, output: Path) -> Measurements:
    return assemble(
        kernel=inputs.kernel,
        cmdline=CMDLINE,
        ramdisks=inputs.ramdisks,
        architecture=inputs.architecture,
        metadata=METADATA,
        output=output,
    )


def theirs(inputs: Inputs, output: Path, *more: str) -> dict[str, str]:
    run = subprocess.run(
        [
            require("eif_build"),
            *("--arch", inputs.architecture, "--kernel", inputs.kernel, "--cmdline", CMDLINE),
            *(part for path in inputs.ramdisks for part in ("--ramdisk", path)),
            *("--output", output, "--name", "reference", "--img-os", "Linux", "--img-kernel", "6.12"),
            *("--build-time", "1970-01-01T00:00:00+00:00", *more),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = json.loads(run.stdout[run.stdout.index("{") :])
    return {name: value for name, value in found.items() if name.startswith("PCR")}


def nitro_cli(folder: Path, path: Path) -> dict[str, Any]:
    """What nitro-cli describe-eif says of an image."""
    run = subprocess.run(
        [require("nitro-cli"), "describe-eif", "--eif-path", path],
        env={**os.environ, "NITRO_CLI_LOGS_PATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def registers(document: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in document["Measurements"].items() if name != "HashAlgorithm"}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("ramdisks", [1, 2, 5])
def test_equal_inputs_give_equal_registers(tmp_path: Path, ramdisks: int, architecture: Architecture) -> None:
    inputs = make_inputs(tmp_path, ramdisks=ramdisks, architecture=architecture)
    reference = theirs(inputs, tmp_path / "theirs.eif")
    assert ours(inputs, tmp_path / "ours.eif").registers() == reference
    for name in ("ours.eif", "theirs.eif"):
        document = describe(tmp_path / name)
        assert document["measurements"] == reference
        assert document["architecture"] == architecture
        assert document["cmdline"] == CMDLINE


@pytest.mark.slow
def test_what_is_extracted_is_what_went_in(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    ours(inputs, tmp_path / "ours.eif")
    describe(tmp_path / "ours.eif", extract=tmp_path / "out")
    extracted = Inputs(
        tmp_path / "out" / "kernel", [tmp_path / "out" / f"ramdisk-{number}.cpio" for number in range(2)]
    )
    assert (tmp_path / "out" / "cmdline").read_text() == CMDLINE
    reference = theirs(extracted, tmp_path / "theirs.eif")
    assert describe(tmp_path / "ours.eif")["measurements"] == reference


@pytest.mark.slow
def test_nitro_cli_reads_our_image(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    found = ours(inputs, tmp_path / "ours.eif")
    document = nitro_cli(tmp_path, tmp_path / "ours.eif")
    assert document["CheckCRC"] is True
    assert document["EifVersion"] == 4
    assert registers(document) == found.registers()
    assert (document["ImageName"], document["ImageVersion"]) == ("reference", "1.2")
    assert document["Metadata"]["BuildTool"] == "enclaver"
    assert document["Metadata"]["KernelVersion"] == "6.12.95"


@pytest.mark.slow
def test_we_verify_their_signature(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    key, certificate = key_and_certificate()
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    reference = theirs(
        inputs,
        tmp_path / "signed.eif",
        *("--private-key", str(tmp_path / "key.pem")),
        *("--signing-certificate", str(tmp_path / "certificate.pem")),
    )
    document = describe(tmp_path / "signed.eif")
    assert set(reference) == {"PCR0", "PCR1", "PCR2", "PCR8"}
    assert document["measurements"] == reference
    assert document["signature"] == {
        "algorithm": "ES384",
        "certificate_subject": "CN=signer.example.com",
        "verified": True,
        "problem": None,
    }
    assert registers(nitro_cli(tmp_path, tmp_path / "signed.eif")) == reference
