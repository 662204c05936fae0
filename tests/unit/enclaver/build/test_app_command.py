"""How the app is started, on roots that the tests make of a few entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from enclaver.build.app_command import command
from enclaver.build.app_spec import AppDescription
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.runtime_config import AppSpec
from enclaver.core.rootfs import skeleton
from enclaver.core.rootfs.tree import Entry, InlineContent, Kind, Tree
from tests.unit.enclaver.build import apps


@pytest.fixture
def root() -> Tree:
    tree = Tree()
    skeleton.add(tree)
    for name in ("dash", "python3.9", "python3.11"):
        tree.add_file(f"usr/bin/{name}", apps.elf(), mode=0o755)
    tree.add_symlink("usr/bin/python3", "python3.11")
    tree.add_symlink("bin", "usr/bin")
    tree.add_symlink("usr/bin/sh", "dash")
    return tree


def run(root: Tree, *entrypoint: str, pexes: Sequence[str] = (), **changes: Any) -> AppSpec:
    fields: dict[str, Any] = {"architecture": "x86_64", "items": (), "args": (), "env": {}, **changes}
    root.ensure_parents()
    return command(root, AppDescription(entrypoint=entrypoint, **fields), pexes)


def refused(what: str, root: Tree, *entrypoint: str, pexes: Sequence[str] = ()) -> str:
    with pytest.raises(EnclaverError, match=what) as caught:
        run(root, *entrypoint, pexes=pexes)
    assert caught.value.cure
    return str(caught.value)


def test_two_pexes_are_one_too_many(root: Tree) -> None:
    for name in ("a", "b"):
        root.add_file(f"app/{name}.pex/__main__.py", b"#!/usr/bin/env python3\n", mode=0o755)
    pexes = ("/app/a.pex", "/app/b.pex")
    said = refused("has 2 PEX files and doesn't say which to run: /app/a.pex, /app/b.pex", root, pexes=pexes)
    assert 'Set `entrypoint` on the enclave_image: ["/usr/bin/python3.11", "/app/a.pex"].' in said
    assert run(root, "/usr/bin/python3", "/app/b.pex", pexes=pexes).argv == ("/usr/bin/python3", "/app/b.pex")


@pytest.mark.parametrize("path", ["/app/a.pex", "/app/a.pex/"])
def test_a_pex_is_run_by_a_python(root: Tree, path: str) -> None:
    root.add_file("app/a.pex/__main__.py", b"")
    said = refused("a.pex/? is a PEX, which is unpacked", root, path, pexes=("/app/a.pex",))
    assert 'Set `entrypoint` to ["/usr/bin/python3.11", "/app/a.pex' in said


def test_what_lies_in_a_pex_is_no_program_of_the_app(root: Tree) -> None:
    root.add_file("app/a.pex/tool", apps.elf(), mode=0o755)
    root.add_file("app/serve", b"#!/bin/sh\n", mode=0o755)
    assert "in /app: /app/serve." in refused("no file", root, "/app/gone", pexes=("/app/a.pex",))


def test_one_script_runs_by_its_first_line(root: Tree) -> None:
    root.add_file("app/serve", b"#! /usr/bin/python3 -u\n", mode=0o755)
    root.add_file("app/data", b"")
    told = run(root, args=("-v",), env={"A": "b"})
    assert told.argv == ("/app/serve", "-v")
    assert (told.cwd, told.uid, told.gid, told.env["A"]) == ("/app", 1000, 1000, "b")
    assert told.env["HOME"] == "/home/app"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"#!/usr/bin/env python3\n", "/app/serve: the image has no /usr/bin/env"),
        (b"#!/bin/sh\r\n", r"the image has no /bin/sh.r, which.*\n.*without a carriage return"),
        (b"#!python3\n", "the image has no python3"),
        (b"#!\n", "the image has no interpreter"),
        (b"#!/bin\n", "the image has no /bin, which"),
        (b"#!/etc/passwd\n", "the image has no /etc/passwd, which"),
        (b"echo hello\n", "neither an ELF program nor a script"),
        (b"", "neither an ELF program nor a script"),
        (apps.elf(kind=apps.RELOCATABLE), "neither an ELF program nor a script"),
    ],
)
def test_what_linux_cannot_execute_is_refused(root: Tree, text: bytes, what: str) -> None:
    root.add_file("app/serve", text, mode=0o755)
    refused(what, root)
    refused(what, root, "/app/serve")


def test_a_relative_interpreter_is_the_apps(root: Tree) -> None:
    root.add_file("app/bin/mine", apps.elf(), mode=0o755)
    root.add_file("app/serve", b"#!bin/mine\n", mode=0o755)
    assert run(root, "/app/serve").argv == ("/app/serve",)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "may"),
    [
        (0o755, 0, 0, True),
        (0o744, 0, 0, False),
        (0o754, 0, 0, False),
        (0o701, 0, 0, True),
        (0o750, 0, skeleton.APP_GID, True),
        (0o700, skeleton.APP_UID, 0, True),
        (0o077, skeleton.APP_UID, 0, False),
    ],
)
def test_the_apps_user_is_who_must_be_able_to_run_it(root: Tree, mode: int, uid: int, gid: int, may: bool) -> None:
    root.add(Entry("srv/x", Kind.FILE, mode, uid, gid, content=InlineContent(apps.elf())))
    root.add(Entry("srv/same", Kind.FILE, 0, hardlink_to="srv/x"))
    for path in ("/srv/x", "/srv/same"):
        if may:
            assert run(root, path).argv == (path,)
        else:
            refused("may execute", root, path)


def test_python_is_told_where_it_is_a_link_too(root: Tree) -> None:
    for program in ("/usr/bin/python3", "/bin/python3.11"):
        assert run(root, program).env["PYTHONUNBUFFERED"] == "1"
    assert "PYTHONUNBUFFERED" not in run(root, "/bin/sh").env
    assert run(root, "/bin/python3", env={"PYTHONUNBUFFERED": ""}).env["PYTHONUNBUFFERED"] == ""


def test_many_choices_are_cut(root: Tree) -> None:
    for number in range(7):
        root.add_file(f"app/{number}", b"#!/bin/sh\n", mode=0o755)
    assert refused("doesn't say", root).endswith(
        "Executable files in /app: /app/0, /app/1, /app/2, /app/3, /app/4, ...."
    )


def test_names_that_would_steer_a_terminal_are_escaped(root: Tree) -> None:
    root.add_file("app/\x1b[31m", b"no script", mode=0o755)
    assert "\x1b" not in refused("neither", root)
    assert "\x1b" not in refused("may execute", root, "/app/\x1b[32m")
