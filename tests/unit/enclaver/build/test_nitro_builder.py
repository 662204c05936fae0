from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from enclaver.build import nitro_builder
from enclaver.core.eif import cose
from enclaver.core.eif.reader import read
from enclaver.core.eif.signing import Signer
from enclaver.core.errors import EnclaverError
from enclaver.core.pcr import report
from enclaver.core.pcr.measure import Measurements
from enclaver.system.daemon import DaemonError
from enclaver.system.daemon_loan import Loan
from tests.certificates import ec_key, self_signed
from tests.unit.enclaver.build import nitro_parts
from tests.unit.enclaver.build.nitro_parts import Parts


@pytest.fixture(autouse=True)
def lent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No daemon: what was lent, and whether it was given back."""
    told: list[str] = []

    @contextmanager
    def lend(archive: Path) -> Iterator[Loan]:
        told.append(f"lent {archive.name}")
        try:
            yield Loan("enclaver-build-1:latest", {"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///x"})
        finally:
            told.append("given back")

    monkeypatch.setattr(nitro_builder, "lent", lend)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return told


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return nitro_parts.make(tmp_path)


def build(parts: Parts, output: Path, **changes: Any) -> Measurements:
    output.parent.mkdir(exist_ok=True)
    arguments: dict[str, Any] = {"image": parts.image, "program": parts.program, "blobs": parts.blobs}
    return nitro_builder.build(
        **{
            **arguments,
            "architecture": "x86_64",
            "name": "hello",
            "version": "1.0",
            "memory_mb": 512,
            "cpus": 3,
            "output": output,
            **changes,
        }
    )


def test_three_files_that_agree(parts: Parts, tmp_path: Path, lent: list[str]) -> None:
    output = tmp_path / "dist" / "x.eif"
    assert build(parts, output) == parts.measurements
    assert sorted(path.name for path in output.parent.iterdir()) == ["x.eif", "x.materials.json", "x.pcrs.json"]
    image = read(output)
    assert image.measurements == report.load(output.with_suffix(".pcrs.json")) == parts.measurements
    # The manifest's, in place of nitro-cli's own; all the rest is what nitro-cli wrote.
    assert (image.header.memory_bytes >> 20, image.header.cpus) == (512, 3)
    theirs = read(parts.eif)
    assert [one.data.head(1 << 20) for one in image.sections] == [one.data.head(1 << 20) for one in theirs.sections]
    assert json.loads(output.with_suffix(".materials.json").read_bytes())["eif"]["size"] == image.size
    call = json.loads((tmp_path / "call").read_text())
    assert (call["--docker-uri"], call["--name"], call["--version"]) == ("enclaver-build-1:latest", "hello", "1.0")
    assert call["DOCKER_HOST"] == "unix:///x"
    assert lent == ["lent image.tar", "given back"]


def test_a_signed_image_has_pcr8_and_names_its_certificate(parts: Parts, tmp_path: Path) -> None:
    key = ec_key(ec.SECP384R1())

    def sign(digest: bytes) -> bytes:
        return cose.raw_from_der(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA384()))), 48)

    signer = Signer(x509.load_pem_x509_certificate(self_signed(key)), sign)
    output = tmp_path / "x.eif"
    found = build(parts, output, signer=signer)
    assert found.pcr8 is not None
    assert replace(found, pcr8=None) == parts.measurements
    image = read(output)
    assert image.measurements == found
    assert image.signature is not None
    assert image.signature.problem(found.pcr0) is None
    kinds = [one["kind"] for one in json.loads(output.with_suffix(".materials.json").read_bytes())["inputs"]]
    assert kinds.count("certificate") == 1


def test_measurements_that_are_not_the_files_are_refused(parts: Parts, tmp_path: Path, lent: list[str]) -> None:
    wrong = replace(parts.measurements, pcr2=bytes(48))
    parts.says.write_bytes(report.render(wrong))
    with pytest.raises(EnclaverError, match="other measurements than those of the image .*: PCR2 differ"):
        build(parts, tmp_path / "dist" / "x.eif")
    assert list((tmp_path / "dist").iterdir()) == []
    assert lent[-1] == "given back"


@pytest.mark.parametrize("says", ["", "{}", "Start building"])
def test_a_nitro_cli_that_says_no_measurements(parts: Parts, tmp_path: Path, says: str) -> None:
    parts.says.write_text(says)
    with pytest.raises(EnclaverError, match=r"measurements\.json: (is not|has no)"):
        build(parts, tmp_path / "dist" / "x.eif")
    assert list((tmp_path / "dist").iterdir()) == []


def test_an_old_output_stays_when_the_build_fails(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "dist" / "x.eif"
    build(parts, output)
    before = {path.name: path.read_bytes() for path in output.parent.iterdir()}

    def down(archive: Path) -> AbstractContextManager[Loan]:
        raise DaemonError("there is no docker daemon")

    monkeypatch.setattr(nitro_builder, "lent", down)
    with pytest.raises(DaemonError):
        build(parts, output)
    assert {path.name: path.read_bytes() for path in output.parent.iterdir()} == before


def test_what_is_missing_is_told_before_the_daemon_is_asked(parts: Parts, tmp_path: Path, lent: list[str]) -> None:
    (parts.blobs / "init").unlink()
    with pytest.raises(EnclaverError, match="no init"):
        build(parts, tmp_path / "x.eif")
    with pytest.raises(EnclaverError, match="other was not found"):
        build(parts, tmp_path / "x.eif", program=tmp_path / "other")
    with pytest.raises(EnclaverError, match="none for aarch64"):
        build(parts, tmp_path / "x.eif", architecture="aarch64")
    assert lent == []
