from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from enclaver.build.app import app
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input, load_tree
from tests.certificates import Authority
from tests.unit.enclaver.build import apps


class Builder:
    """A folder in which an app is put together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "app"
        self.files.mkdir(parents=True)
        self.manifest = folder / "enclaver.yaml"
        self.manifest.write_text(apps.MANIFEST)
        self.base = apps.base(folder)
        self.output = folder / "app.cpio", folder / "app.entries.json"

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        (self.files / name).write_bytes(data)
        (self.files / name).chmod(mode)

    def build(self, *items: dict[str, str], **changes: Any) -> tuple[Tree, list[Input]]:
        spec = apps.description(self.folder / "app.json", items, **changes)
        app(tree=self.base, folder=self.files, spec=spec, manifest=self.manifest, output=self.output)
        return load_tree(*self.output)

    def refuse(self, what: str, *items: dict[str, str], **changes: Any) -> None:
        with pytest.raises(EnclaverError, match=what):
            self.build(*items, **changes)
        assert not any(path.exists() for path in self.output)
        assert not list(self.folder.glob(".*"))


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def config(tree: Tree) -> Any:
    entry = tree.get("etc/enclaver/runtime.json")
    assert entry is not None
    return json.loads(b"".join(bytes(chunk) for chunk in tree.content(entry).chunks()))


def test_a_pex_is_unpacked_and_runs_on_the_newest_python_of_the_base(builder: Builder) -> None:
    apps.pex(builder.files / "server.pex")
    tree, inputs = builder.build(apps.item("server.pex"), args=["-v"], env={"PATH": "/mine", "X": "y"})
    assert tree.get("rootfs/app/server.pex/__main__.py").origin == "target://:server.pex"  # type: ignore[union-attr]
    told = config(tree)["app"]
    assert told["argv"] == ["/usr/bin/python3.11", "/app/server.pex", "-v"]
    assert (told["cwd"], told["uid"], told["gid"]) == ("/app", 1000, 1000)
    assert (told["env"]["PATH"], told["env"]["X"], told["env"]["PYTHONUNBUFFERED"]) == ("/mine", "y", "1")
    assert {(one.kind, one.name) for one in inputs} == {("deb", "base"), ("target", "//:server.pex")}


def test_the_only_executable_file_is_run(builder: Builder) -> None:
    builder.write("server", apps.elf(), 0o755)
    builder.write("data", b"x")
    tree, _ = builder.build(apps.item("server"), apps.item("data", "file", "below/data"))
    assert config(tree)["app"]["argv"] == ["/app/server"]
    assert "PYTHONUNBUFFERED" not in config(tree)["app"]["env"]
    assert "rootfs/app/below/data" in tree


def test_an_archive_is_unpacked(builder: Builder) -> None:
    builder.write("run.sh", b"#!/bin/sh\n", 0o755)
    with tarfile.open(builder.files / "all.tar.gz", "w:gz") as archive:
        archive.add(builder.files / "run.sh", "bin/run.sh")
    tree, _ = builder.build(apps.item("all.tar.gz", "archive"))
    assert config(tree)["app"]["argv"] == ["/app/bin/run.sh"]


def test_a_folder_is_laid_as_it_is(builder: Builder) -> None:
    (builder.files / "loose").mkdir()
    for name in ("PEX-INFO", "__main__.py"):
        (builder.files / "loose" / name).write_text("")
    tree, _ = builder.build(apps.item("loose"))
    assert config(tree)["app"]["argv"] == ["/usr/bin/python3.11", "/app/loose"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, "doesn't say what to run"),
        ({"entrypoint": ["server"]}, "server is no absolute path"),
        ({"entrypoint": [""]}, "is no absolute path"),
        ({"entrypoint": ["/app/data"]}, "no file of the image that the app's user may execute"),
        ({"entrypoint": ["/app"]}, "no file of the image that the app's user may execute"),
        ({"entrypoint": ["/app/one/"]}, "no file of the image that the app's user may execute"),
        ({"entrypoint": ["/../../../bin/ls"]}, "no file of the image that the app's user may execute"),
        ({"entrypoint": ["/app/missing"]}, "/app/one, /app/two"),
        ({"version": 2}, "description of version 2"),
        ({"entrypoint": ["/app/one"], "env": {"A=B": "c"}}, "environment variable"),
    ],
)
def test_what_cannot_run_is_refused(builder: Builder, changes: dict[str, Any], what: str) -> None:
    for name, mode in (("one", 0o755), ("two", 0o755), ("data", 0o644)):
        builder.write(name, b"#!/bin/sh\n", mode)
    builder.refuse(what, *(apps.item(name) for name in ("one", "two", "data")), **changes)


def test_another_machines_program_is_refused(builder: Builder) -> None:
    builder.write("server", apps.elf(apps.AARCH64), 0o755)
    builder.refuse("for aarch64, the image is for x86_64", apps.item("server"))


def test_what_is_never_loaded_may_be_for_any_machine(builder: Builder) -> None:
    builder.write("server", apps.elf(), 0o755)
    builder.write("filter.o", apps.elf(247, apps.RELOCATABLE))
    tree, _ = builder.build(apps.item("server"), apps.item("filter.o", "file"))
    assert "rootfs/app/filter.o" in tree


def test_a_missing_item_and_what_is_no_archive_name_the_file(builder: Builder) -> None:
    builder.refuse(r"app/gone: cannot read: No such file", apps.item("gone"))
    for name in ("x.zip", "x.tar.gz"):
        builder.write(name, b"no archive")
        builder.refuse(rf"app/{name}: no (sound zip|tar) file", apps.item(name, "archive"))


def test_two_items_at_one_place_are_refused_with_both_targets(builder: Builder) -> None:
    builder.write("a", b"#!/bin/sh\n", 0o755)
    builder.write("b", b"another")
    builder.refuse(
        "app/x: brought twice.*target://:a.*target://:b", apps.item("a", "file", "x"), apps.item("b", "file", "x")
    )


def test_nothing_is_laid_through_a_link(builder: Builder) -> None:
    """What an archive links to is the image's, and another item must not be written there."""
    with tarfile.open(builder.files / "links.tar", "w") as archive:
        link = tarfile.TarInfo("lib")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    builder.write("passwd", b"root::0:0")
    items = (apps.item("links.tar", "archive"), apps.item("passwd", "file", "lib/passwd"))
    builder.refuse("app/lib/passwd: lies below app/lib, which is a symlink", *items)
    builder.refuse("app/lib/passwd: lies below app/lib, which is a symlink", *items[::-1])


def test_an_empty_app_is_refused(builder: Builder) -> None:
    builder.refuse("doesn't say what to run(.|\n)*Executable files in /app: none", *())


def test_a_pex_on_a_base_without_python_is_refused(builder: Builder) -> None:
    builder.base = apps.base(builder.folder, python=False)
    apps.pex(builder.files / "server.pex")
    builder.refuse("the base has none", apps.item("server.pex"))


def test_a_signature_is_no_matter_of_the_ramdisks(builder: Builder) -> None:
    builder.write("server", b"#!/bin/sh\n", 0o755)
    before = builder.build(apps.item("server"))
    builder.manifest.write_text(apps.MANIFEST + "signature: {certificate: a.pem, key: b.pem}\n")
    assert builder.build(apps.item("server")) == before


def test_tls_files_lie_beside_the_apps_root_and_are_inputs(builder: Builder) -> None:
    tls = "ingress:\n  - listen_port: 8443\n    tls: {cert_file: cert.pem, key_file: key.pem}\n"
    builder.manifest.write_text(apps.MANIFEST + tls)
    builder.write("server", b"#!/bin/sh\n", 0o755)
    builder.refuse("enclaver.yaml:8:11: `ingress.0..tls.cert_file`", apps.item("server"))
    identity = Authority().identity()
    identity.write(builder.folder)
    tree, inputs = builder.build(apps.item("server"))
    (section,) = config(tree)["ingress"]
    for key, content in (("cert_file", identity.chain), ("key_file", identity.key)):
        entry = tree.get(section["tls"][key].lstrip("/"))
        assert entry is not None
        assert (entry.mode, entry.uid, entry.gid) == (0o400, 0, 0)
        assert b"".join(bytes(chunk) for chunk in tree.content(entry).chunks()) == content
    assert {one.name for one in inputs if one.kind == "file"} == {"cert.pem", "key.pem"}
    assert not any(entry.path.endswith(".pem") and entry.path.startswith("rootfs") for entry in tree)


def test_a_pex_is_the_same_input_whoever_zipped_it(builder: Builder) -> None:
    found = []
    for mode in (0o100644, 0o100600):
        info = zipfile.ZipInfo("PEX-INFO", (1990 + mode % 7, 1, 1, 0, 0, 0))
        info.external_attr = mode << 16
        with zipfile.ZipFile(builder.files / "server.pex", "w") as archive:
            archive.writestr(info, "{}")
            archive.writestr(zipfile.ZipInfo("__main__.py"), "")
        found.append(builder.build(apps.item("server.pex")))
    assert found[0][1] == found[1][1]


def test_a_single_file_is_the_input_that_sha256sum_shows(builder: Builder) -> None:
    builder.write("server", b"#!/bin/sh\n", 0o755)
    _, inputs = builder.build(apps.item("server"))
    assert hashlib.sha256(b"#!/bin/sh\n").hexdigest() in {one.sha256 for one in inputs}


def test_nothing_of_the_machine_shows(tmp_path: Path) -> None:
    made = []
    for name, umask, mode in (("one", 0o022, 0o755), ("another", 0o077, 0o700)):
        before = os.umask(umask)
        try:
            builder = Builder(tmp_path / name)
            builder.write("server", b"#!/bin/sh\n", mode)
            builder.write("data", b"x", 0o600)
            order = [apps.item("server"), apps.item("data", "file")]
            builder.build(*(order if umask == 0o022 else order[::-1]))
        finally:
            os.umask(before)
        os.utime(builder.files / "data", (1, 1))
        made.append([path.read_bytes() for path in builder.output])
    assert made[0] == made[1]
