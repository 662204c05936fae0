from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from enclaver.cli import describe
from enclaver.core.errors import EnclaverError
from tests.unit.enclaver.core.eif.images import (
    image_bytes,
    key_and_certificate,
    plan,
    resigned,
    saved,
    sections_bytes,
    signature_section,
)

GOOD = image_bytes(plan(b"boot", b"app"))


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    describe.configure(parser)
    return describe.run(parser.parse_args(arguments))


def test_text_is_aligned_and_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(saved(tmp_path, GOOD))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "Format        EIF version 4, x86_64",
        f"Size          {len(GOOD)} bytes",
        "Defaults      1024 MiB of memory, 2 CPUs",
        lines[3],
        "Command line  panic=30",
        "",
    ]
    assert lines[3].startswith("CRC           ")
    assert lines[3].endswith(", correct")
    assert lines[6:8] == [
        "Section             Offset          Size",
        "kernel                 548             6",
    ]
    assert [line[:6] for line in lines[13:16]] == ["PCR0  ", "PCR1  ", "PCR2  "]
    assert json.loads("\n".join(lines[lines.index("Metadata") + 1 :]))["ImageName"] == "n"


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(saved(tmp_path, GOOD)), "--json", "--extract", str(tmp_path / "out")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert (tmp_path / "out" / "kernel").read_bytes() == b"kernel"


def test_a_signature_that_is_not_valid_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, certificate = key_and_certificate()
    assert run(str(saved(tmp_path, resigned(GOOD, signature_section(key, certificate, bytes(48)))))) == 1
    out = capsys.readouterr().out
    assert "Signature     ES384, NOT VALID: it is over another PCR0" in out
    assert "Signed by     CN=signer.example.com" in out


def test_text_from_the_file_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = b'{"ImageName":"\\u001b[31m"}'
    data = sections_bytes([(1, b"k"), (2, b"a\x1b[31m\xff"), (5, metadata), (3, b"r")])
    assert run(str(saved(tmp_path, data))) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "1 bytes of memory" in out
    assert r"'a\x1b[31m\udcff'" in out
    assert out.isascii()


def test_errors_are_left_to_main(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="is not an enclave image"):
        run(str(saved(tmp_path, b"\x7fELF")))


def test_the_command_has_a_name_and_a_help() -> None:
    assert describe.NAME == "describe"
    assert describe.HELP
