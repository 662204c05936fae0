"""A packaged image, signed, through ``enclaver describe`` and ``enclaver run``: it is the same enclave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enclaver.build.describe import describe
from enclaver.cli import main as enclaver
from enclaver.core.eif.format import SectionType
from enclaver.core.eif.metadata import render
from enclaver.core.eif.reader import read
from enclaver.core.eif.writer import ImagePlan, write
from tests.integration.runtime.booted import MICROVM, NITRO_ENCLAVE, app, get, running
from tests.unit.enclaver.core.eif.images import key_and_certificate
from tests.unit.enclaver.core.eif.signers import signer

pytestmark = pytest.mark.slow
HELLO = app("enclave", "examples/hello")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hello image once more, signed."""
    image = read(HELLO)
    (kernel,) = (section.data for section in image.sections if section.kind is SectionType.KERNEL)
    plan = ImagePlan(
        architecture=image.header.architecture,
        kernel=kernel,
        cmdline=image.cmdline,
        ramdisks=[section.data for section in image.sections if section.kind is SectionType.RAMDISK],
        metadata=render(image.metadata or {}),
        memory_bytes=image.header.memory_bytes,
        cpus=image.header.cpus,
    )
    path = tmp_path_factory.mktemp("signed") / "hello.eif"
    with path.open("w+b") as out:
        write(plan, out, signer=signer(*key_and_certificate(ec.SECP384R1())))
    return path


def test_a_signature_is_all_that_has_changed(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = describe(HELLO), describe(signed)
    assert {**before["measurements"], "PCR8": after["measurements"]["PCR8"]} == after["measurements"]
    assert after["signature"]["verified"] is True
    assert enclaver.main(["describe", str(signed)]) == 0
    assert "ES384, verified" in capsys.readouterr().out


@pytest.mark.parametrize("machine", [NITRO_ENCLAVE, MICROVM])
def test_it_runs_and_is_checked_as_an_unsigned_one(signed: Path, machine: str) -> None:
    with running(signed, "-p", "127.0.0.1:0:8000", machine=machine) as runner:
        assert json.loads(get(runner.url(8000)).body)["message"] == "hello from the enclave"


def test_for_development_it_runs_without_its_signature(signed: Path) -> None:
    with running(signed, "-p", "127.0.0.1:0:8000", "--development-attestation") as runner:
        assert json.loads(get(runner.url(8000)).body)["message"] == "hello from the enclave"
        runner.wait_for_said("the image's signature is over its own PCR0, so it is left out, and PCR8 is zero")


@pytest.mark.parametrize("extra", [0, 1])
def test_what_is_behind_the_signature_is_refused(signed: Path, tmp_path: Path, extra: int) -> None:
    data = bytearray(signed.read_bytes()) + bytes(extra)
    data[-1] ^= 1
    (tmp_path / "damaged.eif").write_bytes(data)
    assert enclaver.main(["describe", str(tmp_path / "damaged.eif")]) == 1
