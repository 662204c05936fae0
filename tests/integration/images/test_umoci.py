"""Layers as umoci unpacks them, and ours: entry by entry the same."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from enclaver.core.oci import image
from enclaver.core.rootfs.tree import Tree
from tests.integration.images.unpacked import ours, shown, umoci
from tests.integration.tools import require
from tests.unit.enclaver.core.oci.archives import (
    GNU,
    folder,
    hard_link,
    long_name,
    member,
    parts,
    pax,
    symlink,
    tar,
    write_folder,
)

TAG = "app"
ANNOTATIONS = {"org.opencontainers.image.ref.name": TAG}


def written(place: Path, *layers: bytes, how: str = "+gzip") -> Path:
    """A layout's folder with one image."""
    return write_folder(parts(*layers, how=how).files(annotations=ANNOTATIONS), place / "layout")


def read(path: Path, place: Path) -> Tree:
    """An image's tree, as we read it."""
    work = place / f"work-{path.name}"
    work.mkdir()
    return image.read(path, work, architecture="x86_64", drop_xattrs=True).tree


BASE = tar(
    folder("./", mode=0o755),
    folder("bin", mode=0o755),
    member("bin/su", b"su", mode=0o4755),
    member("bin/wall", b"wall", mode=0o2755, gid=5),
    hard_link("bin/suu", "bin/su", mode=0o4755),
    folder("tmp", mode=0o1777),
    folder("home", uid=1000, gid=1001, mode=0o700),
    member("home/f", b"f" * 70000, uid=1000, gid=1001, mode=0o600),
    symlink("home/l", "/bin/su", uid=1000, gid=1001),
    folder("usr"),
    folder("usr/lib"),
    symlink("lib", "usr/lib"),
    member("usr/lib/libc", b"libc", mode=0o755),
    folder("opt"),
    folder("opt/a"),
    member("opt/a/x", b"x"),
    member("opt/a/y", b"y"),
    member("file", b"file"),
    symlink("link", "file"),
)

CASES = {
    "base": [],
    "whiteouts": [member("opt/a/.wh.x"), member(".wh.file"), member("bin/.wh.su"), member(".wh.nothing")],
    "whiteout of a folder": [member(".wh.opt")],
    "whiteout of a link": [member(".wh.link"), member(".wh.lib")],
    "opaque": [folder("opt"), member("opt/.wh..wh..opq"), member("opt/new", b"new")],
    "opaque behind": [folder("opt"), folder("opt/b"), member("opt/b/new", b"new"), member("opt/.wh..wh..opq")],
    "whiteout and back": [member(".wh.opt"), folder("opt", mode=0o711), member("opt/z", b"z")],
    "file over folder": [member("opt", b"file")],
    "folder over file": [folder("file", mode=0o700, uid=3), member("file/in", b"in")],
    "folder over link": [folder("link"), member("link/in", b"in"), folder("lib", mode=0o711)],
    "link over folder": [symlink("opt", "usr/lib")],
    "file over link": [member("link", b"a file now")],
    "link over file": [symlink("file", "/etc/passwd")],
    "folder's mode": [folder("opt/a", mode=0o1700, uid=9, gid=10)],
    "through a link": [member("lib/new", b"new"), member("lib/sub/deep", b"deep"), member("lib/.wh.libc")],
    "hard links below": [hard_link("new", "bin/su", mode=0o4755), hard_link("usr/lib/c", "usr/lib/libc", mode=0o755)],
    "hard link broken": [member("bin/su", b"another", mode=0o755)],
    "hard link to a link": [hard_link("link2", "link")],
    "duplicates": [member("d", b"1"), member("d", b"2", mode=0o600), folder("e"), member("e/x"), member("e", b"3")],
    "missing parents": [member("no/folder/x", b"x"), member("tmp/deep/er/x", b"x", uid=7)],
    "odd names": [
        member(".//opt///odd", b"1"),
        member("/absolute", b"2"),
        member(b"latin-\xe9", b"3"),
        pax({"path": "caf\u00e9/\u65e5\u672c"}),
        member("x", b"4"),
        pax({"path": "p" * 200 + "/" + "q" * 200}),
        member("x", b"5"),
        long_name(b"g" * 150 + b"/" + b"h" * 150),
        member("x", b"6", magic=GNU),
        pax({"linkpath": "t" * 300}),
        symlink("long-target", "t"),
        member(" space\n", b"7"),
    ],
    "numbers": [
        member("big-owner", b"", uid=3_000_000, gid=4_000_000),
        pax({"uid": "70000", "gid": "80000", "size": "3"}),
        member("pax-owner", b"abc", size=0, uid=1),
        member("no-mode", b"", mode=0),
        member("all-modes", b"", mode=0o7777),
        folder("setgid", mode=0o2775, gid=50),
    ],
}  # fmt: skip


@pytest.mark.parametrize("how", ["", "+gzip"])
@pytest.mark.parametrize("name", CASES)
def test_a_layer_over_the_base(tmp_path: Path, name: str, how: str) -> None:
    layout = written(tmp_path, BASE, tar(*CASES[name]), how=how)
    expected = shown(umoci(layout, TAG, tmp_path / "bundle"))
    assert ours(read(layout, tmp_path)) == expected


def random_layer(dice: random.Random) -> bytes:
    """A layer of anything over a few names, as builders write it: folders first, whiteouts before what is new."""
    names = ["a", "b", "c"]
    hidden, folders, others = [], [], []
    leaves: set[str] = set()
    for _ in range(dice.randrange(1, 9)):
        path = "/".join(dice.choices(names, k=dice.randrange(1, 4)))
        parents = ["/".join(path.split("/")[:count]) for count in range(1, path.count("/") + 1)]
        if leaves.intersection([*parents, path]) or any(leaf.startswith(path + "/") for leaf in leaves):
            continue
        owner: dict[str, Any] = {"uid": dice.randrange(5), "gid": dice.randrange(5)}
        folders += [folder(one, mode=0o755) for one in parents]
        match dice.randrange(6):
            case 0:
                hidden.append(member(f"{'/'.join([*parents[-1:], ''])}.wh.{path.rpartition('/')[2]}"))
            case 1:
                folders.append(folder(path, mode=dice.choice((0o700, 0o1777, 0o2755)), **owner))
            case 2:
                folders.append(folder(path))
                hidden.append(member(f"{path}/.wh..wh..opq"))
            case 3:
                leaves.add(path)
                others.append(symlink(path, dice.choice(("a", "../b", "/c", "nowhere")), **owner))
            case _:
                leaves.add(path)
                others.append(member(path, dice.randbytes(dice.randrange(2000)), mode=dice.randrange(0o10000), **owner))
                if dice.random() < 0.4:
                    others.append(hard_link(f"link{dice.randrange(9)}", path))
    return tar(*folders, *hidden, *others)


@pytest.mark.parametrize("seed", range(60))
def test_random_layers(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    layout = written(tmp_path, *(random_layer(dice) for _ in range(dice.randrange(1, 6))))
    expected = shown(umoci(layout, TAG, tmp_path / "bundle"))
    assert ours(read(layout, tmp_path)) == expected


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_what_skopeo_makes_of_an_image_is_the_same_tree(tmp_path: Path, form: str) -> None:
    skopeo = require("skopeo")
    layout = written(tmp_path, BASE, *(tar(*CASES[name]) for name in ("whiteouts", "opaque", "numbers")))
    target = f"{form}:{tmp_path / 'copy'}:{'app:latest' if form == 'docker-archive' else TAG}"
    command: list[str | Path] = [skopeo, "--insecure-policy", "copy", "--quiet", f"oci:{layout}:{TAG}", target]
    subprocess.run(command, check=True, capture_output=True)
    assert ours(read(tmp_path / "copy", tmp_path)) == ours(read(layout, tmp_path))
