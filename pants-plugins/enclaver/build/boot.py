"""Ramdisk 0: Debian's Python, the runtime and its wheels. It depends on no app, so PCR1 is one value for a release."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from enclaver.build import locked_wheels
from enclaver.core.debian import slim
from enclaver.core.errors import EnclaverError
from enclaver.core.python import slim as wheel_slim
from enclaver.core.rootfs import directory
from enclaver.core.rootfs.entry import ORIGIN, Entry, Kind, content_sha256
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.spool import Spool
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust import materials
from enclaver.core.trust.listing import folder_input
from enclaver.core.trust.materials import Input
from enclaver.system.atomic import atomic_outputs

LIBRARY: Final = "usr/lib/enclaver"
_PACKAGE: Final = "enclaver_runtime"
_INIT: Final = f"{_PACKAGE}/init.py"
# The parent instance's side of the runtime: nothing in the enclave imports it.
_NOT_IN_ENCLAVE: Final = ("parent",)
_MODULE: Final = "nsm.ko"
# What the kernel and the runtime mount things on. The kernel opens /dev/console before anything is mounted.
_FOLDERS: Final = (
    ("dev", 0o755),
    ("etc/enclaver", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("rootfs", 0o755),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
)
_DEVICES: Final = (("dev/console", 0o600, (5, 1)), ("dev/null", 0o666, (1, 3)))


def boot(
    *, tree: tuple[Path, Path], wheels: Path, wheel_lock: Path, runtime: Path, kernel: Path, output: tuple[Path, Path]
) -> None:
    """Make the boot ramdisk.

    Args:
        tree: archive and entries of the Debian tree.
        wheels: folder of the runtime's wheels.
        wheel_lock: the requirements with the hashes that the wheels must have.
        runtime: folder that holds ``enclaver_runtime/``.
        kernel: the kernel's folder; its ``nsm.ko`` goes along when it has one.
        output: archive and entries to write.

    Raises:
        EnclaverError: a wheel is not what the lock says, or two inputs bring different files to one path.
    """
    root, inputs = materials.load_tree(*tree)
    slim.for_runtime(root)
    with (
        tempfile.TemporaryDirectory(prefix=".boot-", dir=output[0].absolute().parent) as work,
        Spool(Path(work, "spool")) as spool,
    ):
        inputs += _add_wheels(root, wheels, wheel_lock, spool)
        inputs.append(_add_runtime(root, runtime))
        if (kernel / _MODULE).is_file():
            inputs.append(_add_module(root, kernel / _MODULE))
        for path, mode in _FOLDERS:
            root.add(Entry(path, Kind.DIRECTORY, mode, origin=ORIGIN), replace=True)
        for path, mode, device in _DEVICES:
            root.add(Entry(path, Kind.CHARACTER_DEVICE, mode, device=device, origin=ORIGIN))
        root.ensure_parents(origin=ORIGIN)
        with atomic_outputs(output) as (archive, entries):
            materials.write_tree(root, inputs, archive, entries)


def _add_wheels(root: Tree, wheels: Path, lock: Path, spool: Spool) -> list[Input]:
    inputs = []
    for one in locked_wheels.read(wheels, lock, spool):
        inputs.append(one.described)
        root.graft(Tree(entry for entry in one.tree if wheel_slim.is_in_runtime(entry.path)), LIBRARY)
    return inputs


def _add_runtime(root: Tree, runtime: Path) -> Input:
    """Add the runtime's sources; together they are one input."""
    sources = Tree()
    for entry in directory.read(runtime, origin=ORIGIN):
        package, _, inside = entry.path.partition("/")
        if package == _PACKAGE and inside.split("/")[0] not in _NOT_IN_ENCLAVE and inside.endswith(".py"):
            # Modules are imported; what mode a checkout gave them must not show.
            sources.add(replace(entry, mode=0o644))
    init = sources.get(_INIT)
    if init is None:
        raise EnclaverError(
            f"holds no {_INIT}", file=str(runtime), cure="Give the folder that enclaver_runtime lies in."
        )
    described = folder_input("runtime", _PACKAGE, sources)
    sources.remove(_INIT)
    root.graft(sources, LIBRARY)
    root.add(replace(init, path="init", mode=0o755))
    return described


def _add_module(root: Tree, path: Path) -> Input:
    content = whole(path)
    root.add(Entry(f"{LIBRARY}/{_MODULE}", Kind.FILE, 0o644, content=content, origin="kernel"))
    return Input("kernel", _MODULE, content_sha256(content), content.size)
