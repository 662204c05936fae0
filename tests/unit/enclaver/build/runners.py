"""What target images' tests are made of: a small Debian tree, a wheel, the real sources, an enclave."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from enclaver.build.runner import Runner
from enclaver.build.runner_tools import Tools
from enclaver.build.target_image import target_image
from enclaver.core.oci.digest import Digest
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input, save_tree
from tests.unit.enclaver.build import apps
from tests.unit.enclaver.build.test_image_config import image
from tests.unit.enclaver.cli.test_run import CONFIG, MANIFEST

ROOT = Path(__file__).parents[4]
SOURCES = [ROOT / "pants-plugins", ROOT / "runtime"]
ORIGIN = "deb:base=1"


def debian(folder: Path, machine: int = apps.X86_64, *more: str) -> tuple[Path, Path]:
    """Write a Debian tree with a Python, a shell, and other programs, of twenty bytes each."""
    tree = Tree()
    for program in ("python3.11", "dash", *more):
        tree.add_file(f"usr/bin/{program}", apps.elf(machine), mode=0o755, origin=ORIGIN)
    tree.add_symlink("usr/bin/python3", "python3.11", origin=ORIGIN)
    tree.add_symlink("bin", "usr/bin", origin=ORIGIN)
    tree.add_directory("var", mode=0o711, origin=ORIGIN)
    tree.add_file("usr/share/doc/dash/copyright", b"free", origin=ORIGIN)
    tree.add_file("usr/lib/python3.11/turtle.py", b"draw", origin=ORIGIN)
    tree.ensure_parents(origin=ORIGIN)
    paths = folder / "debian.cpio", folder / "debian.json"
    save_tree(tree, [Input("deb", "base", "1" * 64, 1, "1")], *paths)
    return paths


def runner(folder: Path, tree: tuple[Path, Path] | None = None) -> Runner:
    """Write what runs an enclave; two wheels, one of which it has no use for."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels, lock = folder / "wheels", folder / "runtime.lock"
    wheels.mkdir(exist_ok=True)
    lock.write_text("")
    for name in ("thing", "botocore"):
        path = wheels / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            marker = f"{name}-1.0.dist-info/WHEEL"
            archive.writestr(zipfile.ZipInfo(marker), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            archive.writestr(zipfile.ZipInfo(f"{name}/__init__.py"), "x = 1\n")
        with lock.open("a") as out:
            out.write(f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return Runner(tree or debian(folder), wheels, lock, SOURCES)


def enclave(folder: Path) -> tuple[Path, Path]:
    """Write an enclave's image and its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    made = image(folder, {"etc/enclaver/runtime.json": json.dumps(CONFIG).encode()})
    (folder / "enclaver.yaml").write_text(MANIFEST)
    return made.path, folder / "enclaver.yaml"


def build(folder: Path, **changes: Any) -> tuple[Path, Digest]:
    """Write a target image; return its path and its digest."""
    eif, manifest = enclave(folder / "enclave")
    output = folder / "x.image.tar"
    arguments = {
        "eif": eif,
        "manifest": manifest,
        "runner": runner(folder / "runner"),
        "tools": Tools(),
        "names": ["x:1"],
        "output": output,
    }
    return output, target_image(**{**arguments, **changes})


def copied_sources(folder: Path) -> list[Path]:
    """Copy the sources, with other modes, as another checkout has them."""
    for name in ("enclaver", "enclaver_runtime"):
        (found,) = (one / name for one in SOURCES if (one / name).is_dir())
        shutil.copytree(found, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o700)
    return [folder]
