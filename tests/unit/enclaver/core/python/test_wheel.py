from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.python import wheel
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree

WHEEL = "thing-1.0.dist-info/WHEEL"
ELF = "\x7fELF\x02\x01" + "\0" * 10 + "\x03\0\x3e\0"
PURE = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make(folder: Path, files: dict[str, str], *, name: str = "thing-1.0-py3-none-any.whl") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            info = zipfile.ZipInfo(member)
            info.external_attr = 0o100755 << 16
            archive.writestr(info, text)
    return path


def read(path: Path) -> Tree:
    with Spool(path.parent / "spool") as spool:
        return wheel.read(path, spool)


def test_what_is_imported_is_kept_and_what_an_installer_needs_is_not(tmp_path: Path) -> None:
    tree = read(
        make(
            tmp_path,
            {
                "thing/__init__.py": "x = 1",
                "thing-1.0.dist-info/WHEEL": PURE,
                "thing-1.0.dist-info/METADATA": "Name: thing",
                "thing-1.0.dist-info/RECORD": "",
                "thing-1.0.data/scripts/run": "#!python",
                "thing-1.0.data/headers/thing.h": "",
                "thing-1.0.data/purelib/thing/more.py": "",
                "thing-1.0.data/platlib/other.py": "",
            },
        )
    )
    assert [entry.path for entry in tree if entry.content] == [
        "other.py",
        "thing-1.0.dist-info/METADATA",
        "thing-1.0.dist-info/WHEEL",
        "thing/__init__.py",
        "thing/more.py",
    ]
    assert "thing-1.0.data" not in tree
    assert {entry.mode for entry in tree if entry.content} == {0o644}
    assert {entry.origin for entry in tree} == {"wheel:thing-1.0"}


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({WHEEL: PURE.replace("true", "false")}, "compiled code"),
        ({WHEEL: PURE.replace("true", "tr\u00fce")}, "compiled code"),
        ({WHEEL: PURE.replace("Root-Is-Purelib: true\n", "")}, "compiled code"),
        ({WHEEL: PURE.replace("1.0", "2.0")}, "version 2.0, not 1"),
        ({WHEEL: "\0\r\n\ud7ff"}, "version none, not 1"),
        ({WHEEL: ""}, "version none, not 1"),
        ({WHEEL + "/": ""}, "no wheel: it has no thing-1.0.dist-info/WHEEL"),
        ({"thing/__init__.py": ""}, "no wheel: it has no thing-1.0.dist-info/WHEEL"),
        ({"thing-2.0.dist-info/WHEEL": PURE}, "no wheel: it has no thing-1.0.dist-info/WHEEL"),
        ({"../thing.py": "", WHEEL: PURE}, "relative"),
        ({"thing/_c.so": ELF, WHEEL: PURE}, "thing/_c.so: the wheel says that it is pure and holds code for x86_64"),
        ({"thing.py": "1", "thing-1.0.data/purelib/thing.py": "2", WHEEL: PURE}, "thing.py: brought twice"),
    ],
)
def test_what_is_no_pure_wheel_is_refused(tmp_path: Path, files: dict[str, str], what: str) -> None:
    with pytest.raises(EnclaverError, match=what) as caught:
        read(make(tmp_path, files))
    assert "py3-none-any.whl: " in str(caught.value)


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path, {WHEEL: PURE})
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("thing.py")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(EnclaverError, match="thing.py: the wheel holds a link"):
        read(path)


@pytest.mark.parametrize("tag", ["cp311-cp311-manylinux_2_17_x86_64", "py3-none-win_amd64", "cp311-abi3-any"])
def test_a_wheel_for_some_machines_is_refused_by_its_name(tmp_path: Path, tag: str) -> None:
    with pytest.raises(EnclaverError, match=r"not for every machine\n  Pin a release"):
        read(make(tmp_path, {WHEEL: PURE}, name=f"thing-1.0-{tag}.whl"))


def test_a_name_may_have_a_build_number(tmp_path: Path) -> None:
    assert len(read(make(tmp_path, {WHEEL: PURE}, name="thing-1.0-1-py2.py3-none-any.whl")))


@pytest.mark.parametrize("name", ["thing.whl", "thing-1.0-py3-none-any.zip", "thing-1.0.whl", "a-b-c-d-e-f-g.whl"])
def test_a_name_that_is_no_wheels_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EnclaverError, match="no wheel's"):
        read(make(tmp_path, {"thing-1.0.dist-info/WHEEL": PURE}, name=name))
