"""What a target image has below its enclave: Debian, and the command that runs the enclave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from enclaver.build import locked_wheels
from enclaver.core.debian import slim
from enclaver.core.errors import EnclaverError
from enclaver.core.python import closure
from enclaver.core.python import slim as wheel_slim
from enclaver.core.rootfs import directory, elf, lookup
from enclaver.core.rootfs.entry import ORIGIN, Entry, Kind
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust import materials

#: The command, as the image's entrypoint names it.
COMMAND: Final = "/usr/bin/enclaver"
# Debian's own folder for modules that no release of Python owns: its Python looks there without being told to.
_LIBRARY: Final = "usr/lib/python3/dist-packages"
_PYTHON: Final = "/usr/bin/python3"
_MODULE: Final = "enclaver.cli.contained"
# -I: neither a variable nor the folder that a container starts in decides what is imported. -B: a container that has
# run is as it was.
_SCRIPT: Final = f"#!{_PYTHON} -IB\nfrom {_MODULE} import start\n\nstart()\n"
_FOLDERS: Final = (
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
)
# What Debian's maintainer scripts would have made: a name for the user that a container's processes are.
_FILES: Final = {
    "etc/group": "root:x:0:\n",
    "etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\n",
}


@dataclass(frozen=True, slots=True)
class Runner:
    """What runs the enclave.

    Args:
        tree: archive and entries of the Debian tree: Python with cryptography and yaml, a shell and its tools; QEMU
            too, if it is to emulate.
        wheels: folder of the runtime's wheels.
        wheel_lock: the requirements with the hashes that the wheels must have.
        sources: the folders that ``enclaver/`` and ``enclaver_runtime/`` lie in.
    """

    tree: tuple[Path, Path]
    wheels: Path
    wheel_lock: Path
    sources: Sequence[Path]


def base(runner: Runner, architecture: str) -> Tree:
    """Return the Debian tree, without what nothing here needs.

    Raises:
        EnclaverError: it has no Python, or is for another machine than the enclave.
    """
    root, _ = materials.load_tree(*runner.tree)
    slim.for_runner(root)
    python = lookup.resolve(root, _PYTHON)
    machine = elf.machine(root.content(python).head(elf.HEADER_SIZE)) if python else None
    if machine != architecture:
        found = f"is for {machine}, and the enclave for {architecture}" if machine else f"has no {_PYTHON}"
        raise EnclaverError(
            f"the Debian tree {found}", file=str(runner.tree[0]), cure="Give that of the runner's lock for the machine."
        )
    for path, mode in _FOLDERS:
        root.add(Entry(path, Kind.DIRECTORY, mode, origin=ORIGIN), replace=True)
    for path, text in _FILES.items():
        if path not in root:
            root.add_file(path, text.encode(), origin=ORIGIN)
    root.ensure_parents(origin=ORIGIN)
    return root


def command(runner: Runner, spool: Spool) -> Tree:
    """Return the command: its script, those of our modules that it imports, and the wheels that these do.

    Raises:
        EnclaverError: a wheel is not what the lock says, or the sources are not there.
    """
    brought = Tree()
    for one in locked_wheels.read(runner.wheels, runner.wheel_lock, spool, without=wheel_slim.NOT_IN_RUNNER):
        brought.graft(Tree(entry for entry in one.tree if wheel_slim.is_in_runtime(entry.path)), _LIBRARY)
    sources = Tree()
    for folder in runner.sources:
        # Modules are imported; what mode a checkout gave them must not show.
        found = (replace(entry, mode=0o644) for entry in directory.read(folder, origin=ORIGIN) if _is_source(entry))
        sources.graft(Tree(found))
    brought.graft(closure.closure(sources, _MODULE), _LIBRARY)
    brought.add_file(COMMAND.lstrip("/"), _SCRIPT.encode(), mode=0o755, origin=ORIGIN)
    return brought


def _is_source(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and entry.path.endswith(".py")
