from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import app_spec, image_app
from enclaver.build.app import app
from enclaver.build.app_spec import AppDescription
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.runtime_config import AppSpec
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input, load_tree
from tests.unit.enclaver.build import apps
from tests.unit.enclaver.core.oci.archives import (
    archived,
    folder,
    listed,
    member,
    parts,
    pax,
    sha256,
    symlink,
    tar,
    to_json,
    write_folder,
)

PASSWD = b"app:x:1000:1001:App:/srv/app:/bin/sh\n"
ROOT = tar(
    folder("bin"),
    member("bin/server", apps.elf(), mode=0o755),
    member("bin/secret", apps.elf(), mode=0o700),
    member("bin/script", b"#!/bin/server\n", mode=0o755),
    member("bin/broken", b"#!/bin/nothing\n", mode=0o755),
    member("bin/arm", apps.elf(apps.AARCH64), mode=0o755),
    member("bin/data", b"data", mode=0o755),
    folder("etc"),
    member("etc/passwd", PASSWD),
    folder("srv"),
    member("srv/run", apps.elf(), mode=0o750, uid=1000),
    symlink("here", "srv"),
)


def described(place: Path, *items: dict[str, str], **changes: Any) -> AppDescription:
    return app_spec.load(apps.description(place / "app.json", items, **changes))


def spec(place: Path, changes: dict[str, Any] | None = None, **config: Any) -> AppSpec:
    """How an image with this configuration is run by a target with these changes."""
    path = place / "image.tar"
    path.write_bytes(archived(parts(ROOT, **config).files()))
    target = described(place, apps.item("image.tar", "file"), **(changes or {}))
    (place / "work").mkdir()
    return image_app.read(path, target, place / "work").spec


def test_an_image_runs_as_it_says(tmp_path: Path) -> None:
    found = spec(
        tmp_path, Entrypoint=["/bin/server", "-v"], Cmd=["serve"], Env=["A=1", "B=2"], User="app", WorkingDir="/srv"
    )
    assert found == AppSpec(
        argv=("/bin/server", "-v", "serve"),
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/srv/app",
            "A": "1",
            "B": "2",
        },
        cwd="/srv",
        uid=1000,
        gid=1001,
    )


@pytest.mark.parametrize(("text", "number"), [("SIGQUIT", signal.SIGQUIT), ("", None)])
def test_an_image_is_asked_to_end_as_it_says(tmp_path: Path, text: str, number: int | None) -> None:
    # As for engines, whatever it is that they run.
    assert spec(tmp_path, {"args": ["/bin/server"]}, StopSignal=text).stop_signal == number


@pytest.mark.parametrize(
    ("changes", "config", "argv"),
    [
        ({}, {"Cmd": ["server"]}, ("server",)),
        ({}, {"Entrypoint": ["/bin/server"]}, ("/bin/server",)),
        ({"args": ["x"]}, {"Entrypoint": ["/bin/server"], "Cmd": ["serve"]}, ("/bin/server", "x")),
        ({"entrypoint": ["/bin/script"]}, {"Entrypoint": ["/bin/server"], "Cmd": ["serve"]}, ("/bin/script",)),
        ({"entrypoint": ["server", "a"], "args": ["b"]}, {"Cmd": ["serve"]}, ("server", "a", "b")),
        ({"args": ["/bin/server"]}, {}, ("/bin/server",)),
        ({}, {"Cmd": ["./run"], "WorkingDir": "/srv", "User": "app"}, ("./run",)),
        ({}, {"Cmd": ["/here/run"]}, ("/here/run",)),
        ({}, {"Cmd": ["run"], "Env": ["PATH=/bin:/srv"]}, ("run",)),
        ({}, {"Cmd": ["/bin/secret"]}, ("/bin/secret",)),
    ],
)
def test_what_runs(tmp_path: Path, changes: dict[str, Any], config: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert spec(tmp_path, changes, **config).argv == argv


@pytest.mark.parametrize(
    ("changes", "config", "what"),
    [
        ({}, {}, "says neither by Entrypoint nor by Cmd"),
        ({}, {"Cmd": [""]}, "says neither by Entrypoint nor by Cmd"),
        ({}, {"Cmd": ["/bin/gone"]}, "has no /bin/gone that its user 0 may execute"),
        ({}, {"Cmd": ["gone"]}, r"has no gone in its PATH \(/usr/local/sbin"),
        ({}, {"Cmd": ["server"], "Env": ["PATH=/srv"]}, r"has no server in its PATH \(/srv\)"),
        ({}, {"Cmd": ["/bin"]}, "has no /bin that"),
        ({}, {"Cmd": ["/etc/passwd"]}, "has no /etc/passwd that"),
        ({}, {"Cmd": ["/bin/secret"], "User": "app"}, "has no /bin/secret that its user 1000 may execute"),
        ({}, {"Cmd": ["/bin/arm"]}, "/bin/arm: is for aarch64, the enclave is for x86_64"),
        ({}, {"Cmd": ["/bin/data"]}, "/bin/data: the entrypoint is neither an ELF program nor a script"),
        ({}, {"Cmd": ["/bin/broken"]}, "/bin/broken: the image has no /bin/nothing"),
        ({}, {"Cmd": ["/bin/server"], "User": "nobody"}, "whom its /etc/passwd does not have"),
        ({}, {"Cmd": ["/bin/server"], "Env": ["a b=c"]}, "cannot be the name of an environment variable"),
        ({"architecture": "aarch64"}, {"Cmd": ["/bin/server"]}, "for linux/amd64, not for linux/arm64"),
    ],
)
def test_what_cannot_run(tmp_path: Path, changes: dict[str, Any], config: dict[str, Any], what: str) -> None:
    with pytest.raises(EnclaverError, match=f"^//:image.tar: .*{what}"):
        spec(tmp_path, changes, **config)


def found(place: Path, files: dict[str, bytes], *kinds: str) -> Path | None:
    """What is found in an app of these files."""
    write_folder(files, place / "app")
    items = [apps.item(name, kinds[0] if kinds else "file") for name in files]
    (place / "work").mkdir(exist_ok=True)
    result = image_app.find(described(place, *items), place / "app", place / "work")
    assert not list((place / "work").iterdir())
    return result


IMAGE = parts(ROOT, Cmd=["/bin/server"])


@pytest.mark.parametrize("kind", ["file", "package"])
@pytest.mark.parametrize(
    "data", [archived(IMAGE.files()), gzip.compress(archived(IMAGE.docker_save()))], ids=["a", "b"]
)
def test_a_single_archive_is_an_image(tmp_path: Path, kind: str, data: bytes) -> None:
    assert found(tmp_path, {"any.name": data}, kind) == tmp_path / "app" / "any.name"


def test_a_layout_s_files_are_an_image(tmp_path: Path) -> None:
    files = {f"image/{name}": data for name, data in IMAGE.files().items()}
    assert found(tmp_path, files) == tmp_path / "app" / "image"
    assert found(tmp_path, {**files, "another": b"x"}) is None


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, "file"),
        ({"x.tar": archived(IMAGE.files())}, "archive"),
        ({"x.tar": archived(IMAGE.files()), "run": b"#!/bin/sh"}, "file"),
        ({"x.tar": tar(member("x"))}, "file"),
        ({"x.tar.gz": gzip.compress(tar(member("x")))}, "file"),
        ({"run": b"#!/bin/sh\n"}, "file"),
        ({"run": b""}, "file"),
        ({"run": apps.elf()}, "package"),
        ({"x.bz2": b"BZh9"}, "file"),
        ({"oci-layout": b"{}", "x/oci-layout": b"{}"}, "file"),
    ],
)
def test_what_is_no_image(tmp_path: Path, files: dict[str, bytes], kind: str) -> None:
    assert found(tmp_path, files, kind) is None


def test_a_damaged_archive_is_not_taken_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"^//:x.tar: .*ends"):
        found(tmp_path, {"x.tar": archived(IMAGE.files())[:1000]})


def build(place: Path, data: bytes, **changes: Any) -> tuple[Tree, list[Input]]:
    """Make the whole ramdisk of an image."""
    write_folder({"image.tar": data}, place / "app")
    manifest = place / "enclaver.yaml"
    manifest.write_text(apps.MANIFEST)
    output = place / "app.cpio", place / "app.entries.json"
    spec = apps.description(place / "app.json", [apps.item("image.tar", "file")], **changes)
    app(tree=None, folder=place / "app", spec=spec, manifest=manifest, output=output)
    with_base = place / "base.app.cpio", place / "base.app.entries.json"
    app(tree=apps.base(place), folder=place / "app", spec=spec, manifest=manifest, output=with_base)
    assert [path.read_bytes() for path in with_base] == [path.read_bytes() for path in output], "a base shows"
    return load_tree(*output)


def test_what_is_no_image_needs_a_base(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="^//:image.tar: is no container image, and there is no base"):
        build(tmp_path, b"#!/bin/sh\n")


def test_the_image_is_the_whole_root_file_system(tmp_path: Path) -> None:
    one = parts(ROOT, tar(member("bin/.wh.data")), how="+gzip", Cmd=["/bin/server"])
    tree, inputs = build(tmp_path, archived(one.files()))
    assert inputs == [Input("image", "//:image.tar", sha256(to_json(one.config))[7:], len(to_json(one.config)))]
    rootfs = {path: what for path, what in listed(tree).items() if path.startswith("rootfs/")}
    assert "rootfs/bin/data" not in rootfs
    assert "rootfs/usr/bin/dash" not in rootfs
    assert "rootfs/app" not in rootfs
    assert rootfs["rootfs/etc/passwd"] == PASSWD
    assert {entry.origin for entry in tree if entry.path.startswith("rootfs/")} == {f"layer:{sha256(ROOT)}"}
    config = tree.get("etc/enclaver/runtime.json")
    assert config is not None
    assert json.loads(config.content.head(4096) if config.content else b"")["app"]["argv"] == ["/bin/server"]


def test_a_working_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    tree, _ = build(tmp_path, archived(parts(ROOT, Cmd=["/bin/server"], WorkingDir="/var/lib/app").docker_save()))
    made = tree.get("rootfs/var/lib/app")
    assert made is not None
    assert (made.mode, made.uid, made.origin) == (0o755, 0, "enclaver")


def test_the_root_folder_is_the_image_s_own(tmp_path: Path) -> None:
    one = parts(ROOT, tar(folder("/", mode=0o711, uid=5)), Cmd=["/bin/server"])
    root = build(tmp_path, archived(one.files()))[0].get("rootfs")
    assert root is not None
    assert (root.mode, root.uid, root.gid) == (0o711, 5, 0)


def test_how_an_image_is_packed_changes_nothing_that_is_measured(tmp_path: Path) -> None:
    archives = []
    for number, (how, saved) in enumerate([("", False), ("+gzip", False), ("+zstd", False), ("", True)]):
        one = parts(ROOT, how=how, Cmd=["/bin/server"])
        place = tmp_path / str(number)
        place.mkdir()
        build(place, archived(one.docker_save() if saved else one.files()))
        archives.append((place / "app.cpio").read_bytes())
    assert len(set(archives)) == 1


def test_attributes_are_dropped_where_the_target_says_so(tmp_path: Path) -> None:
    capable = tar(pax({"SCHILY.xattr.security.capability": b"\1"}), member("bin/server", apps.elf(), mode=0o755))
    data = archived(parts(capable, Cmd=["/bin/server"]).files())
    with pytest.raises(EnclaverError, match="//:image.tar: bin/server: has the extended attribute"):
        build(tmp_path, data)
    tree, _ = build(tmp_path, data, drop_xattrs=True)
    assert "rootfs/bin/server" in tree


def test_a_working_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="/bin/server: is the image's `WorkingDir` and no folder"):
        build(tmp_path, archived(parts(ROOT, Cmd=["/bin/server"], WorkingDir="/bin/server").docker_save()))
