from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from enclaver.build import locked_wheels
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.spool import Spool
from enclaver.core.trust.materials import Input


def wheel(folder: Path, name: str) -> str:
    """Write a wheel; return its sha256."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}-1.0.dist-info/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(zipfile.ZipInfo(f"{name}.py"), "x = 1\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(folder: Path, *hashes: str, without: frozenset[str] = frozenset()) -> list[locked_wheels.LockedWheel]:
    lock = folder / "runtime.lock"
    lock.write_text("".join(f"x==1 --hash=sha256:{one}\n" for one in hashes))
    with Spool(folder / "spool") as spool:
        return list(locked_wheels.read(folder, lock, spool, without=without))


def test_wheels_in_the_order_of_their_names(tmp_path: Path) -> None:
    two, one = wheel(tmp_path, "two"), wheel(tmp_path, "one")
    found = read(tmp_path, two, one)
    assert [(each.described.name, each.described.sha256) for each in found] == [("one", one), ("two", two)]
    assert isinstance(found[0].described, Input)
    assert [entry.path for entry in found[0].tree if entry.content] == ["one-1.0.dist-info/WHEEL", "one.py"]


def test_some_are_left_out_and_held_against_the_lock_all_the_same(tmp_path: Path) -> None:
    one, two = wheel(tmp_path, "one"), wheel(tmp_path, "two")
    assert [each.described.name for each in read(tmp_path, one, two, without=frozenset({"one"}))] == ["two"]
    with pytest.raises(EnclaverError, match=r"is not in runtime\.lock"):
        read(tmp_path, two, without=frozenset({"one"}))


def test_a_folder_without_wheels(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="holds no wheels"):
        read(tmp_path)
