from __future__ import annotations

import argparse
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from enclaver.cli import validate
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.problems import ManifestError

VALID = "version: v1\nname: n\ntarget: a:b\nsources: {app: ':a'}\n"


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    validate.configure(parser)
    return validate.run(parser.parse_args(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_manifest_of_the_working_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "enclaver.yaml").write_text(VALID)
    assert run() == 0
    assert capsys.readouterr() == ("enclaver.yaml: valid\n", "")


def test_notes_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "m.yaml").write_text("version: v1\nname: n\nsources:\n  app: image:1\n")
    assert run("--file", "m.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "m.yaml: valid"
    assert lines[1].startswith("m.yaml:1:1: note: there is no `target`")
    assert not any("refuses" in line for line in lines)


def test_problems_are_raised_for_the_caller_to_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "m.yaml").write_text(VALID + "egres: {}\nname: b\n")
    with pytest.raises(ManifestError) as caught:
        run("-f", "m.yaml")
    assert str(caught.value).startswith("m.yaml:5:1: unknown key `egres`")
    assert len(caught.value.problems) == 2
    assert capsys.readouterr() == ("", "")


def test_a_missing_file_is_an_error(folder: Path) -> None:
    with pytest.raises(EnclaverError, match="cannot be read") as caught:
        run()
    assert caught.value.file == "enclaver.yaml"


@pytest.mark.parametrize("text", [VALID, VALID + "x: 1\n"])
def test_standard_input(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    if text == VALID:
        assert run("-f", "-") == 0
        assert capsys.readouterr().out == "<stdin>: valid\n"
    else:
        with pytest.raises(ManifestError) as caught:
            run("-f", "-")
        assert str(caught.value).startswith("<stdin>:5:1: unknown key `x`")
