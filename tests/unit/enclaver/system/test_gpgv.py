"""Signature checks, with a stand-in for gpgv: what it says decides, and only its own output is read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import gpgv

FILE = "http://mirror.example.com/InRelease"


def stand_in(folder: Path, *words: str, output: str = "verified") -> Path:
    """A gpgv that prints these status words and writes ``output`` where --output says; returns a keyring."""
    program = folder / "gpgv"
    status = "\n".join(f"[GNUPG:] {word} 0123 Somebody" for word in words)
    program.write_text(
        f"#!/bin/sh\ncat <<'EOF'\nnoise\n{status}\nEOF\n"
        f'while [ $# -gt 0 ]; do [ "$1" = --output ] && printf %s "{output}" > "$2"; shift; done\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    keyring = folder / "keyring.gpg"
    keyring.touch()
    return keyring


def verify(keyring: Path) -> bytes:
    return gpgv.verify_clearsigned(b"signed", keyring=keyring, file=FILE)


@pytest.fixture(autouse=True)
def _only_the_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.parametrize("words", [["GOODSIG"], ["NO_PUBKEY", "GOODSIG", "VALIDSIG"], ["EXPKEYSIG", "GOODSIG"]])
def test_one_good_signature_is_enough_and_the_text_is_gpgvs(tmp_path: Path, words: list[str]) -> None:
    assert verify(stand_in(tmp_path, *words)) == b"verified"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "there is none that gpgv can read"),
        (["BADSIG"], "the signature does not fit the file"),
        (["GOODSIG", "BADSIG"], "the signature does not fit the file"),
        (["GOODSIG", "REVKEYSIG"], "the key of the signature was revoked"),
        (["NO_PUBKEY"], "the keyring has no key for the signature"),
        (["EXPKEYSIG"], "the key of the signature has expired"),
        (["EXPSIG"], "the signature has expired"),
        (["UNEXPECTED"], "there is none that gpgv can read"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, words: list[str], reason: str) -> None:
    with pytest.raises(EnclaverError) as error:
        verify(stand_in(tmp_path, *words))
    assert str(error.value).startswith(f"{FILE}: the signature is not good: {reason}")


def test_a_missing_keyring_or_gpgv_is_an_error_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnclaverError, match=r"keyring .*gone\.gpg does not exist\n  Install debian-archive-keyring"):
        verify(tmp_path / "gone.gpg")
    keyring = stand_in(tmp_path, "GOODSIG")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnclaverError, match=r"gpgv is not installed(.|\n)*Install gpgv"):
        verify(keyring)
