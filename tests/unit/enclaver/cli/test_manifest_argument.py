from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from enclaver.cli import manifest_argument
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.problems import ManifestError

VALID = "version: v1\nname: n\ntarget: a:b\nsources: {app: ':a'}\n"


def chosen(*arguments: str) -> str:
    parser = argparse.ArgumentParser()
    manifest_argument.add(parser)
    return str(parser.parse_args(arguments).file)


def test_the_manifest_of_the_current_folder_unless_another_is_named() -> None:
    assert chosen() == "enclaver.yaml"
    assert chosen("-f", "a/b.yaml") == chosen("--file", "a/b.yaml") == "a/b.yaml"


def test_a_file_is_read_and_its_paths_are_relative_to_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(VALID)
    manifest, data = manifest_argument.read(str(path))
    assert (manifest.name, manifest.origin.source.file, data) == ("n", str(path), VALID.encode())
    assert manifest_argument.folder_of(str(path)) == tmp_path


def test_standard_input_is_read_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(VALID.encode())))
    manifest, data = manifest_argument.read("-")
    assert (manifest.origin.source.file, data) == ("<stdin>", VALID.encode())
    assert manifest_argument.folder_of("-") == Path()


def test_a_pipe_is_as_good_as_standard_input() -> None:
    reads, writes = os.pipe()
    with os.fdopen(writes, "w") as pipe:
        pipe.write(VALID)
    name = f"/dev/fd/{reads}"
    manifest, data = manifest_argument.read(name)
    assert (manifest.origin.source.file, data) == (name, VALID.encode())
    assert manifest_argument.folder_of(name) == Path()
    os.close(reads)


def test_standard_input_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = io.BytesIO(b"# " + b"x" * (64 << 20))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=endless))
    with pytest.raises(ManifestError):
        manifest_argument.read("-")
    assert endless.tell() < 32 << 20


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="cannot be read"):
        manifest_argument.read(str(tmp_path / "m.yaml"))
