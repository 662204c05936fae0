"""What the app's and the boot ramdisk's tests are made of: a small base, wheels, PEX files and descriptions."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input, save_tree

X86_64, AARCH64 = 62, 183
PROGRAM, RELOCATABLE = 2, 1
MANIFEST = "version: v1\nname: x\ntarget: x:1\nsources:\n  app: :x\n"


def elf(machine: int = X86_64, kind: int = PROGRAM) -> bytes:
    """Return the beginning of an ELF file, 64-bit and little-endian."""
    return b"\x7fELF\x02\x01" + bytes(10) + kind.to_bytes(2, "little") + machine.to_bytes(2, "little")


def base(folder: Path, *, python: bool = True) -> tuple[Path, Path]:
    """Write a base: a shell, and two Pythons, of twenty bytes each."""
    tree = Tree()
    tree.add_file("usr/bin/dash", elf(), mode=0o755, origin="deb:base=1")
    tree.add_symlink("usr/bin/sh", "dash", origin="deb:base=1")
    tree.add_symlink("bin", "usr/bin", origin="deb:base=1")
    if python:
        tree.add_file("usr/bin/python3.9", elf(), mode=0o755, origin="deb:base=1")
        tree.add_file("usr/bin/python3.11", elf(), mode=0o755, origin="deb:base=1")
    tree.ensure_parents(origin="deb:base=1")
    paths = folder / "base.cpio", folder / "base.json"
    save_tree(tree, [Input("deb", "base", "1" * 64, 1, "1")], *paths)
    return paths


def pex(path: Path, extra: Mapping[str, bytes] | None = None) -> Path:
    """Write a PEX file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"PEX-INFO": b"{}", "__main__.py": b"x = 1\n", **(extra or {})}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def item(path: str, kind: str = "package", laid_as: str | None = None) -> dict[str, str]:
    """Return one item of a description."""
    return {"path": path, "as": laid_as or path, "kind": kind, "target": f"//:{path}"}


def description(path: Path, items: Sequence[Mapping[str, str]], **changes: Any) -> Path:
    """Write a description."""
    runs = {"entrypoint": [], "args": [], "env": {}, "drop_xattrs": False}
    path.write_text(json.dumps({"version": 1, "architecture": "x86_64", "items": items, **runs, **changes}))
    return path
