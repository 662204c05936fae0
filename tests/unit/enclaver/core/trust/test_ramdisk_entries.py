from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent
from enclaver.core.trust.ramdisk_entries import check_kept, entries
from tests.unit.enclaver.core.rootfs.test_cpio_scan import archive, content, record

FILE, FOLDER, LINK, DEVICE, SOCKET = 0o100644, 0o040755, 0o120777, 0o020600, 0o140777


def ramdisk(tmp_path: Path, *records: bytes) -> FileContent:
    return content(tmp_path / "x", archive(*records), b"odd")


def test_entries_are_sorted_and_told_with_what_brought_them(tmp_path: Path) -> None:
    found = entries(
        ramdisk(
            tmp_path,
            record(b"rootfs/", FOLDER),
            record(b"rootfs/z", FILE, b"text"),
            record(b"rootfs/caf\xe9", LINK, b"z"),
            record(b"dev/tty", DEVICE),
        ),
        origins={"rootfs/z": "deb:z=1"},
        other="nitro-cli",
    )
    by = {"origin": "nitro-cli", "uid": 0, "gid": 0}
    assert found == [
        {**by, "path": "dev/tty", "type": "device", "mode": "0600", "device": [0, 0]},
        {**by, "path": "rootfs", "type": "directory", "mode": "0755"},
        {**by, "path": "rootfs/caf\udce9", "type": "symlink", "target": "z"},
        {
            **by,
            "path": "rootfs/z",
            "type": "file",
            "mode": "0644",
            "size": 4,
            "sha256": sha256(b"text").hexdigest(),
            "origin": "deb:z=1",
        },
    ]


@pytest.mark.parametrize("odd", [record(b"x", SOCKET), record(b"x", FILE, links=2)])
def test_what_cannot_be_told_is_refused(tmp_path: Path, odd: bytes) -> None:
    with pytest.raises(EnclaverError, match="x: is a hard link or of a kind that is not known"):
        entries(ramdisk(tmp_path, odd), origins={}, other="nitro-cli")


GIVEN: list[dict[str, Any]] = [
    {"path": "a", "type": "file", "uid": 0, "gid": 0, "mode": "0644", "size": 1, "sha256": "11", "origin": "x"},
    {"path": "b", "type": "hardlink", "target": "a", "origin": "x"},
    {"path": "b2", "type": "hardlink", "target": "c", "origin": "x"},
    {"path": "c", "type": "symlink", "uid": 0, "gid": 0, "target": "a", "origin": "x"},
    {"path": "etc/hosts", "type": "file", "uid": 0, "gid": 0, "mode": "0644", "size": 9, "origin": "x"},
    {"path": "home", "type": "directory", "uid": 7, "gid": 7, "mode": "0700", "origin": "x"},
    {"path": "tmp", "type": "directory", "uid": 0, "gid": 0, "mode": "1777", "origin": "x"},
]


def kept() -> dict[str, dict[str, Any]]:
    """What linuxkit makes of it."""
    found = {record["path"]: {**record, "path": f"root/{record['path']}", "origin": "y"} for record in GIVEN}
    found["b"] |= {"type": "symlink", "target": "a"}
    found["b2"] |= {"type": "symlink", "target": "c"}
    found["tmp"]["mode"] = "0755"
    del found["etc/hosts"]
    return found


def test_what_linuxkit_does_to_an_image_is_no_loss() -> None:
    check_kept(list(kept().values()), GIVEN, "root")


def test_any_name_of_a_hard_linked_file_may_keep_the_content() -> None:
    """A daemon walks folder by folder, so it may come to another name first than we do."""
    found = kept()
    found["b"] = {**found["a"], "path": "root/b"}
    found["a"] = {"path": "root/a", "type": "symlink", "uid": 0, "gid": 0, "target": "b", "origin": "y"}
    check_kept(list(found.values()), GIVEN, "root")


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("a", {"sha256": "22"}, "2 entries are missing or others: a, b"),
        ("a", {"mode": "0600"}, "2 entries are missing or others: a, b"),
        ("b", {"type": "file"}, "1 entries are missing or others: b"),
        ("b", {"target": "home"}, "1 entries are missing or others: b"),
        ("b", {"target": "../a"}, "1 entries are missing or others: b"),
        ("b", {"target": "/a"}, "1 entries are missing or others: b"),
        ("c", {"target": "b"}, "2 entries are missing or others: b2, c"),
        ("home", {"uid": 0}, "1 entries are missing or others: home"),
        ("tmp", {"type": "file"}, "1 entries are missing or others: tmp"),
    ],
)
def test_what_else_has_changed_is_named(path: str, change: dict[str, Any], named: str) -> None:
    found = kept()
    found[path] |= change
    with pytest.raises(EnclaverError, match=f"{named}\n"):
        check_kept(list(found.values()), GIVEN, "root")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(EnclaverError, match="6 entries are missing or others: a, b, b2\n"):
        check_kept([], GIVEN, "root")
