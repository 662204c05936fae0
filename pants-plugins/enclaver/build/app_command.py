"""How the app runs: its command, its environment and its user; and that the command can run at all."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Final

from enclaver.build.app_spec import AppDescription
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.runtime_config import AppSpec
from enclaver.core.rootfs import elf, lookup, script, skeleton
from enclaver.core.rootfs.entry import Entry, Kind, printable
from enclaver.core.rootfs.tree import Tree

_APP: Final = skeleton.APP
_PYTHON: Final = re.compile(r"usr/bin/python3\.(\d+)\Z")
#: Where programs are looked for when nobody says.
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV: Final = {
    "HOME": f"/{skeleton.HOME}",
    "LANG": "C.UTF-8",
    "PATH": DEFAULT_PATH,
}
_OWNER: Final = (skeleton.APP_UID, skeleton.APP_GID)
# The image is not written to, and a line that waits in a buffer is lost when the enclave ends.
_PYTHON_ENV: Final = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
_SHOWN: Final = 5


def command(root: Tree, described: AppDescription, pexes: Sequence[str]) -> AppSpec:
    """Return how an app is started.

    Args:
        root: the app's whole root file system.
        described: the app, as its target says.
        pexes: absolute paths of the unpacked PEX files.

    Raises:
        EnclaverError: there is nothing to run or too much to choose from, or what is to be run cannot be.
    """
    entrypoint = described.entrypoint or _default(root, pexes)
    program = _program(root, entrypoint[0], pexes)
    env: Mapping[str, str] = {**_ENV, **(_PYTHON_ENV if _PYTHON.match(program.path) else {}), **described.env}
    return AppSpec(
        argv=(*entrypoint, *described.args), env=env, cwd=f"/{_APP}", uid=skeleton.APP_UID, gid=skeleton.APP_GID
    )


def _default(root: Tree, pexes: Sequence[str]) -> tuple[str, ...]:
    """Return how an app runs that doesn't say: its PEX on the base's Python, or its only executable file."""
    programs = _programs(root, pexes)
    if len(pexes) == 1:
        python = _python(root)
        if python is None:
            raise EnclaverError(
                f"the app {pexes[0]} needs a Python and the base has none",
                cure="Choose a base with python3, or set `entrypoint`.",
            )
        return (python, pexes[0])
    if len(pexes) > 1:
        raise EnclaverError(
            f"the app has {len(pexes)} PEX files and doesn't say which to run: {_shown(pexes)}",
            cure=f"Set `entrypoint` on the enclave_image: {_as_entrypoint(root, pexes[0])}.",
        )
    if len(programs) != 1:
        raise EnclaverError(
            "the app doesn't say what to run", cure="Set `entrypoint` on the enclave_image. " + _choice(programs)
        )
    return (programs[0],)


def _program(root: Tree, path: str, pexes: Sequence[str]) -> Entry:
    """Return the file that a path of a command leads to, which the app's user can run."""
    if path.rstrip("/") in pexes:
        raise EnclaverError(
            f"the entrypoint {printable(path)} is a PEX, which is unpacked in the image and runs on a Python",
            cure=f"Set `entrypoint` to {_as_entrypoint(root, path)}, or leave it out.",
        )
    if not path.startswith("/"):
        raise EnclaverError(
            f"the entrypoint {printable(path)} is no absolute path",
            cure="Name a file of the image by its path from / on. " + _choice(_programs(root, pexes)),
        )
    found = lookup.resolve(root, path)
    if found is None or not may_execute(root, found, *_OWNER):
        raise EnclaverError(
            f"the entrypoint {printable(path)} is no file of the image that the app's user may execute",
            cure="Name one by its absolute path. " + _choice(_programs(root, pexes)),
        )
    check_format(root, path, found, cwd=f"/{_APP}", owner=_OWNER)
    return found


def check_format(root: Tree, path: str, found: Entry, *, cwd: str, owner: tuple[int, int]) -> None:
    """Refuse what Linux cannot execute.

    Args:
        root: the app's whole root file system.
        path: how the program is called.
        found: the file that this leads to.
        cwd: the folder that the app starts in.
        owner: whom it runs as, user and group.

    Raises:
        EnclaverError: it is neither an ELF file nor a script, or a script whose interpreter is missing.
    """
    head = root.content(found).head(script.HEAD_SIZE)
    if elf.machine(head) is not None:
        return
    interpreter = script.interpreter(head)
    if interpreter is None:
        raise EnclaverError(
            "the entrypoint is neither an ELF program nor a script that starts with #!",
            place=printable(path),
            cure="Let its first line name what runs it, such as #!/bin/sh.",
        )
    # A relative one is looked for from the folder that the app starts in.
    runner = lookup.resolve(root, posixpath.join(cwd, interpreter)) if interpreter else None
    if runner is None or not may_execute(root, runner, *owner):
        raise EnclaverError(
            f"the image has no {printable(interpreter) or 'interpreter'}, which the entrypoint's first line names",
            place=printable(path),
            cure="Name a program of the base there, without a carriage return behind it, or choose a base that has it.",
        )


def may_execute(root: Tree, entry: Entry, uid: int, gid: int) -> bool:
    """Whether a user may execute a file: root any that somebody may."""
    if entry.kind is not Kind.FILE:
        return False
    inode = root.inode(entry)
    if uid == 0:
        return bool(inode.mode & 0o111)
    if inode.uid == uid:
        return bool(inode.mode & 0o100)
    return bool(inode.mode & (0o010 if inode.gid == gid else 0o001))


def _python(root: Tree) -> str | None:
    """Return the newest Python of the image, as an absolute path."""
    found = [(int(match[1]), entry.path) for entry in root if (match := _PYTHON.match(entry.path))]
    return f"/{max(found)[1]}" if found else None


def _as_entrypoint(root: Tree, pex: str) -> str:
    return f'["{_python(root) or "/usr/bin/python3"}", "{printable(pex)}"]'


def _programs(root: Tree, pexes: Sequence[str]) -> list[str]:
    """Return the executable files below /app, outside of unpacked PEX files."""
    unpacked = tuple(f"{pex[1:]}/" for pex in pexes)
    return [
        f"/{entry.path}"
        for entry in root
        if entry.path.startswith(f"{_APP}/")
        and not entry.path.startswith(unpacked)
        and may_execute(root, entry, *_OWNER)
    ]


def _choice(programs: Sequence[str]) -> str:
    return f"Executable files in /{_APP}: {_shown(programs) or 'none'}."


def _shown(paths: Sequence[str]) -> str:
    return ", ".join(map(printable, paths[:_SHOWN])) + (", ..." if len(paths) > _SHOWN else "")
