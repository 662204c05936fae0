from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from enclaver.build import manifest
from enclaver.cli import signing_options
from enclaver.core.eif.writer import Signs
from enclaver.core.manifest.problems import ManifestError
from tests.certificates import ec_key, key_pem, self_signed

PLAIN = "version: v1\nname: x\ntarget: x:1\nsources:\n  app: :x\n"
SIGNED = PLAIN + "signature:\n  certificate: sign.pem\n  key: key.pem\n"
BOTH = ("--signing-certificate", "sign.pem", "--signing-key", "key.pem")


def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, *argv: str) -> Signs | None:
    monkeypatch.chdir(tmp_path)
    key = ec_key()
    Path("sign.pem").write_bytes(self_signed(key))
    Path("key.pem").write_bytes(key_pem(key))
    Path("enclaver.yaml").write_text(text)
    options = argparse.ArgumentParser()
    signing_options.add(options)
    return signing_options.signer(options, options.parse_args(argv), manifest.load(Path("enclaver.yaml")))


def test_a_manifest_without_a_signature_is_not_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signer(tmp_path, monkeypatch, PLAIN) is None


def test_one_with_a_signature_is_signed_by_what_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = signer(tmp_path, monkeypatch, SIGNED, *BOTH)
    assert found is not None
    assert found.section(bytes(48))


def test_a_signature_is_neither_left_out_nor_made_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ManifestError, match="the image is to be signed"):
        signer(tmp_path, monkeypatch, SIGNED)
    with pytest.raises(ManifestError, match="has no `signature`"):
        signer(tmp_path, monkeypatch, PLAIN, *BOTH)


def test_half_of_it_is_a_wrong_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        signer(tmp_path, monkeypatch, SIGNED, *BOTH[:2])
    assert "go together" in capsys.readouterr().err
