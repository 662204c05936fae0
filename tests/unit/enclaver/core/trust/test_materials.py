from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Entry, FileContent, Kind, Tree
from enclaver.core.trust.materials import (
    Input,
    RamdiskMaterial,
    canonical_json,
    input_from_json,
    load_records,
    load_tree,
    materials_json,
    save_tree,
)
from tests.unit.enclaver.core.rootfs.trees import flat, trees

DEB = Input("deb", "libc6", "ab" * 32, 7, "2.36-9")
SOURCE = Input("source", "linux", "cd" * 32, 9)


def sample() -> Tree:
    tree = Tree()
    tree.add_directory("dev", origin="enclaver")
    tree.add(Entry("dev/null", Kind.CHARACTER_DEVICE, 0o666, device=(1, 3), origin="enclaver"))
    tree.add_file("b", b"hello", mode=0o4755, uid=1, gid=2, origin="deb:x=1")
    tree.add(Entry("a", Kind.FILE, 0, hardlink_to="b", origin="deb:y=2"))
    tree.add_symlink("s", "/caf\udce9", origin="deb:z=3")
    return tree


def saved(tmp_path: Path, tree: Tree | None = None) -> tuple[Path, Path]:
    archive, entries = tmp_path / "x.cpio", tmp_path / "x.json"
    save_tree(sample() if tree is None else tree, [SOURCE, DEB, DEB], archive, entries)
    return archive, entries


def test_the_json_of_entries(tmp_path: Path) -> None:
    _, entries = saved(tmp_path)
    document = json.loads(entries.read_bytes())
    assert document["version"] == 1
    assert document["inputs"] == [
        {"kind": "deb", "name": "libc6", "sha256": "ab" * 32, "size": 7, "version": "2.36-9"},
        {"kind": "source", "name": "linux", "sha256": "cd" * 32, "size": 9},
    ]
    root = {"uid": 0, "gid": 0}
    assert document["entries"] == [
        {
            "path": "a",
            "type": "file",
            "mode": "4755",
            "uid": 1,
            "gid": 2,
            "size": 5,
            "sha256": sha256(b"hello").hexdigest(),
            "origin": "deb:y=2",
        },
        {"path": "b", "type": "hardlink", "target": "a", "origin": "deb:x=1"},
        {"path": "dev", "type": "directory", "mode": "0755", **root, "origin": "enclaver"},
        {"path": "dev/null", "type": "device", "mode": "0666", **root, "device": [1, 3], "origin": "enclaver"},
        {"path": "s", "type": "symlink", "target": "/caf\udce9", **root, "origin": "deb:z=3"},
    ]
    assert entries.read_bytes() == canonical_json(document)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tree=trees())
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, tree: Tree) -> None:
    archive, entries = saved(tmp_path, tree)
    before = archive.read_bytes(), entries.read_bytes()
    again, inputs = load_tree(archive, entries)
    assert flat(again) == flat(tree)
    assert [entry.origin for entry in again] == [entry.origin for entry in tree]
    assert inputs == [DEB, SOURCE]
    copies = tmp_path / "y.cpio", tmp_path / "y.json"
    save_tree(again, inputs, *copies)
    assert (copies[0].read_bytes(), copies[1].read_bytes()) == before
    assert load_records(archive, entries)[1] == json.loads(before[1])["entries"]


def test_an_error_leaves_neither_file(tmp_path: Path) -> None:
    tree = Tree([Entry("f", Kind.FILE, 0o644, content=FileContent(tmp_path / "none", 0, 1))])
    with pytest.raises(EnclaverError, match="cannot read"):
        saved(tmp_path, tree)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EnclaverError, match="cannot write: No such file"):
        save_tree(Tree(), [], tmp_path / "none" / "x.cpio", tmp_path / "x.json")


def change(entries: Path, key: str, value: Any) -> None:
    document = json.loads(entries.read_bytes())
    entries.write_bytes(canonical_json({**document, key: value}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 99999, "is not JSON"),
        ("[]", "not a list of entries"),
        ('{"version":1,"inputs":[]}', "not a list of entries"),
        ('{"version":2,"inputs":[],"entries":[]}', "not a list of entries"),
        ('{"version":1,"inputs":{},"entries":[]}', "not a list of entries"),
        ('{"version":1,"inputs":[],"entries":[1]}', "not a list of entries"),
        ('{"version":1,"inputs":[],"entries":[{"path":"a"}]}', "not a list of entries"),
        ('{"version":1,"inputs":[{}],"entries":[]}', "an input is not described"),
        ('{"version":1,"inputs":[],"entries":[]}', "0 entries, not 5: does not describe x.cpio"),
    ],
    ids=range(10),
)
def test_json_that_is_not_ours(tmp_path: Path, text: str, message: str) -> None:
    archive, entries = saved(tmp_path)
    entries.write_text(text)
    with pytest.raises(EnclaverError, match=message) as caught:
        load_tree(archive, entries)
    assert caught.value.file == str(entries)


def test_an_archive_and_a_json_of_different_trees(tmp_path: Path) -> None:
    archive, entries = saved(tmp_path)
    records = json.loads(entries.read_bytes())["entries"]
    records[0]["mode"] = "0755"
    change(entries, "entries", records)
    with pytest.raises(EnclaverError, match=r"x\.json: a: does not describe x\.cpio"):
        load_tree(archive, entries)


def test_a_missing_json(tmp_path: Path) -> None:
    archive, entries = saved(tmp_path)
    entries.unlink()
    with pytest.raises(EnclaverError, match=r"x\.json: cannot read"):
        load_tree(archive, entries)


GOOD = {"kind": "deb", "name": "n", "sha256": "0" * 64, "size": 1}


@pytest.mark.parametrize(
    "item",
    [
        1,
        {**GOOD, "extra": 1},
        {**GOOD, "sha256": "0" * 63},
        {**GOOD, "sha256": "A" * 64},
        {**GOOD, "size": "1"},
        {**GOOD, "size": True},
        {**GOOD, "version": 1},
        {**GOOD, "kind": None},
    ],
)
def test_inputs_that_are_none(item: object) -> None:
    with pytest.raises(EnclaverError, match="an input is not described"):
        input_from_json(item, "f")


def test_inputs_and_back() -> None:
    for one in (DEB, SOURCE):
        assert input_from_json(one.as_json(), "f") == one


def test_the_report_of_an_image() -> None:
    raw = materials_json(
        architecture="x86_64",
        cmdline="panic=30",
        inputs=[SOURCE, DEB, SOURCE],
        ramdisks=[RamdiskMaterial("boot", 512, "aa" * 32, "bb" * 48, [{"path": "init"}])],
        eif_sha256="ee" * 32,
        eif_size=4096,
        measurements={"PCR0": "00" * 48},
    )
    assert raw.endswith(b"}\n")
    assert raw.isascii()
    document = json.loads(raw)
    assert document == {
        "version": 1,
        "architecture": "x86_64",
        "cmdline": "panic=30",
        "inputs": [DEB.as_json(), SOURCE.as_json()],
        "ramdisks": [
            {
                "name": "boot",
                "size": 512,
                "sha256": "aa" * 32,
                "sha384": "bb" * 48,
                "entries": [{"path": "init"}],
            }
        ],
        "eif": {"sha256": "ee" * 32, "size": 4096},
        "measurements": {"PCR0": "00" * 48},
    }
