from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.python import pex
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree


def make(path: Path, *names: str) -> Path:
    with path.open("wb") as out:
        out.write(b"#!/usr/bin/env python3.11\n")  # A PEX starts with the line that makes it executable.
        with zipfile.ZipFile(out, "w") as archive:
            for name in names:
                archive.writestr(name, name)
    return path


def test_a_pex_is_told_from_other_zips_and_files(tmp_path: Path) -> None:
    assert pex.is_pex(make(tmp_path / "a.pex", "PEX-INFO", "__main__.py"))
    assert not pex.is_pex(make(tmp_path / "b.zip", "__main__.py"))
    (tmp_path / "text").write_text("PEX-INFO __main__.py")
    assert not pex.is_pex(tmp_path / "text")
    assert not pex.is_pex(tmp_path / "missing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "x.pex"
    path.mkdir()
    for name in ("PEX-INFO", "__main__.py"):
        (path / name).write_text("")
    return path


def read(path: Path) -> Tree:
    with Spool(path.parent / "spool") as spool:
        return pex.read(path, spool, origin="target:x")


def test_a_loose_pex_is_a_folder(folder: Path) -> None:
    (folder / ".bootstrap").mkdir()
    assert pex.is_pex(folder)
    assert [entry.path for entry in read(folder)] == [".bootstrap", "PEX-INFO", "__main__.py"]
    (folder / "PEX-INFO").unlink()
    assert not pex.is_pex(folder)


def test_a_packed_pex_is_refused_with_the_field_that_is_to_be_changed(folder: Path) -> None:
    make(folder / ".bootstrap", "pex/__init__.py")
    assert pex.is_pex(folder)
    with pytest.raises(EnclaverError, match=r'x\.pex: a PEX of the packed layout(.|\n)*layout="zipapp"'):
        read(folder)


def test_a_damaged_zip_is_no_pex(tmp_path: Path) -> None:
    raw = make(tmp_path / "a.pex", "PEX-INFO", "__main__.py").read_bytes()
    for end in range(0, len(raw), 7):
        (tmp_path / "b.pex").write_bytes(raw[:end])
        assert not pex.is_pex(tmp_path / "b.pex")


def test_every_member_is_an_entry(tmp_path: Path) -> None:
    path = make(tmp_path / "a.pex", "PEX-INFO", "__main__.py", ".deps/x.whl/x.py")
    tree = read(path)
    assert [entry.path for entry in tree if entry.content] == [".deps/x.whl/x.py", "PEX-INFO", "__main__.py"]
