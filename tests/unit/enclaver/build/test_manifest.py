from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enclaver.build.manifest import load, report
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.document import MAX_BYTES
from enclaver.core.manifest.problems import ManifestError

TEXT = """\
version: v1
name: hello
sources:
  app: //app:server
  odyn: image:1
defaults: {cpu_count: 4}
signature: {certificate: ./c.pem, key: ../k.pem}
"""


def written(folder: Path, text: str = TEXT) -> Any:
    manifest = folder / "enclaver.yaml"
    manifest.write_text(text)
    report(manifest, folder / "report.json")
    return json.loads((folder / "report.json").read_bytes())


def test_the_report(tmp_path: Path) -> None:
    document = written(tmp_path)
    notes = document.pop("notes")
    assert document == {
        "version": 1,
        "name": "hello",
        "target": None,
        "app": {"kind": "address", "value": "//app:server"},
        "defaults": {"cpu_count": 4, "memory_mb": 4096},
        "files": [],
        "signature": {
            "certificate": {"key": "signature.certificate", "line": 7, "column": 13, "path": "c.pem"},
            "key": {"kind": "file", "value": "../k.pem"},
        },
    }
    assert [note["key"] for note in notes] == ["target", "sources.odyn"]
    assert notes[1]["text"].startswith(f"{tmp_path}/enclaver.yaml:5:3: note: `sources.odyn` is unused")


def test_the_report_names_the_files_that_the_manifest_names_at_their_places(tmp_path: Path) -> None:
    tls = "ingress:\n  - listen_port: 1\n  - listen_port: 2\n    tls:\n"
    tls += "      cert_file: ./c.pem\n      key_file: d/k.pem\n"
    assert written(tmp_path, TEXT + tls)["files"] == [
        {"key": "ingress[1].tls.key_file", "line": 13, "column": 7, "path": "d/k.pem"},
        {"key": "ingress[1].tls.cert_file", "line": 12, "column": 7, "path": "c.pem"},
    ]


def test_a_signature_by_kms_and_none(tmp_path: Path) -> None:
    arn = "arn:aws:kms:eu-west-1:111122223333:alias/signs"
    signed = written(tmp_path, TEXT.replace("../k.pem", f"'{arn}'"))
    assert signed["signature"]["key"] == {"kind": "kms", "value": arn}
    assert written(tmp_path, TEXT.replace("signature", "# "))["signature"] is None


def test_the_same_manifest_gives_the_same_bytes(tmp_path: Path) -> None:
    written(tmp_path)
    first = (tmp_path / "report.json").read_bytes()
    written(tmp_path)
    assert (tmp_path / "report.json").read_bytes() == first
    assert first.endswith(b"}\n")


def test_an_image_is_an_app(tmp_path: Path) -> None:
    document = written(tmp_path, "version: v1\nname: n\ntarget: a:b\nsources: {app: 'image:1'}\n")
    assert (document["app"], document["target"]) == ({"kind": "image", "value": "image:1"}, "a:b")


def test_an_invalid_manifest_leaves_no_report(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"version"):
        written(tmp_path, "name: n\n")
    assert [path.name for path in tmp_path.iterdir()] == ["enclaver.yaml"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "missing.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(EnclaverError, match=words) as caught:
            load(path)
        assert str(caught.value).startswith(str(path))


def test_no_more_is_read_than_a_manifest_can_have(tmp_path: Path) -> None:
    path = tmp_path / "enclaver.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES * 1000)
    with pytest.raises(ManifestError, match=r"manifest") as caught:
        load(path)
    assert "larger than" in str(caught.value)


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "enclaver.yaml").write_text(TEXT)
    with pytest.raises(EnclaverError, match="cannot write"):
        report(tmp_path / "enclaver.yaml", tmp_path / "no" / "report.json")
