from __future__ import annotations

import json
from typing import Any

import pytest

from enclaver.util_rules.report import NamedFile, Signature, SigningKey, parse_report

REPORT: dict[str, Any] = {
    "version": 1,
    "name": "hello",
    "target": "hello:1",
    "app": {"kind": "address", "value": ":server"},
    "defaults": {"cpu_count": 2, "memory_mb": 4096},
    "files": [{"key": "ingress[0].tls.key_file", "line": 8, "column": 7, "path": "tls/key.pem"}],
    "signature": None,
    "notes": [{"text": "x.yaml:1:1: note: unused"}],
}


def test_an_address_is_the_app() -> None:
    report = parse_report(json.dumps(REPORT).encode())
    assert (report.name, report.target, report.app_address, report.app_image, report.notes) == (
        "hello",
        "hello:1",
        ":server",
        None,
        ("x.yaml:1:1: note: unused",),
    )


def test_files_that_the_manifest_names() -> None:
    report = parse_report(json.dumps(REPORT).encode())
    assert report.files == (NamedFile("ingress[0].tls.key_file", 8, 7, "tls/key.pem"),)


def test_who_signs() -> None:
    assert parse_report(json.dumps(REPORT).encode()).signature is None
    certificate = {"key": "signature.certificate", "line": 9, "column": 3, "path": "sign.pem"}
    signed = {**REPORT, "signature": {"certificate": certificate, "key": {"kind": "file", "value": "../k.pem"}}}
    assert parse_report(json.dumps(signed).encode()).signature == Signature(
        NamedFile("signature.certificate", 9, 3, "sign.pem"), SigningKey("file", "../k.pem")
    )


def test_an_image_is_no_address() -> None:
    report = parse_report(json.dumps({**REPORT, "app": {"kind": "image", "value": "app:1"}}).encode())
    assert (report.app_address, report.app_image) == (None, "app:1")


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        parse_report(json.dumps({**REPORT, "version": 2}).encode())
