from __future__ import annotations

import json
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.pcr import report
from enclaver.core.pcr.measure import Measurements

ONE = Measurements(b"\x01" * 48, b"\x02" * 48, b"\x03" * 48)


def test_the_shape_is_nitro_clis(tmp_path: Path) -> None:
    raw = report.render(ONE)
    assert raw.decode() == (
        '{\n  "Measurements": {\n    "HashAlgorithm": "Sha384 { ... }",\n'
        f'    "PCR0": "{"01" * 48}",\n    "PCR1": "{"02" * 48}",\n    "PCR2": "{"03" * 48}"\n  }}\n}}\n'
    )
    path = tmp_path / "pcrs.json"
    path.write_bytes(raw)
    assert report.load(path) == ONE


def test_what_describe_eif_prints_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pcrs.json"
    body = {"HashAlgorithm": "Sha512_48 { .. }", **ONE.registers()}
    path.write_text(json.dumps({"EifVersion": 4, "Measurements": body, "IsSigned": False}))
    assert report.load(path) == ONE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a measurement report"),
        ("[" * 9000, "not a measurement report"),
        ("[]", "has no Measurements"),
        ('{"Measurements": {"HashAlgorithm": "Sha256 { ... }"}}', "has no Measurements"),
        ('{"Measurements": {"HashAlgorithm": "Sha384 { ... }"}}', "has no PCR0"),
    ],
)
def test_what_is_no_report(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pcrs.json"
    path.write_text(text)
    with pytest.raises(EnclaverError, match=message):
        report.load(path)


def test_a_report_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="cannot read"):
        report.load(tmp_path / "none")
