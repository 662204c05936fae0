"""Images that the image stage signs, as Pants runs it: a process with files of its own, and the key elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import Input, save_tree
from tests.integration.tools import require
from tests.unit.enclaver.build.test_image import bz_image

MANIFEST = """\
version: v1
name: signed
target: signed:enclave
sources:
  app: ':app'
"""


@dataclass(frozen=True)
class Parts:
    """What images are assembled of, in a folder; ``key`` is what the manifest's signature names."""

    folder: Path
    key: str | None

    def stage(self, name: str, *arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a stage in the folder."""
        inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", f"enclaver.cli.stages.{name}", "--manifest", "enclaver.yaml", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env={**inherited, **environment}, capture_output=True, text=True, check=False
        )

    def check(self, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the check that comes before a build."""
        assert self.key
        return self.stage(
            "check_signing", "--certificate", "certificate.pem", "--key", self.key, environment=environment or {}
        )

    def image(self, name: str = "signed", environment: Mapping[str, str] | None = None) -> Path:
        """Assemble the image, signed if it is to be."""
        signing = ("--signing-certificate", "certificate.pem", "--signing-key", self.key) if self.key else ()
        done = self.stage(
            "image",
            *("--kernel", "kernel", "--boot", "boot.cpio", "boot.json", "--app", "app.cpio", "app.json"),
            *("--architecture", "x86_64", "--output", name, *signing),
            environment=environment or {},
        )
        assert done.returncode == 0, done.stderr
        return self.folder / f"{name}.eif"


def make_parts(folder: Path, key: Path | str | None, *, kernel: Path | None = None, init: bytes = b"init") -> Parts:
    """Write the parts of an image; its certificate has to be in ``certificate.pem`` beside them.

    Args:
        folder: gets them.
        key: a key's path or ARN; without one the image is unsigned.
        kernel: a folder with a real one, for an image that boots.
        init: the first process.
    """
    ours = folder / "kernel"
    ours.mkdir(parents=True)
    (ours / "bzImage").write_bytes((kernel / "bzImage").read_bytes() if kernel else bz_image())
    (ours / "cmdline").write_text((kernel / "cmdline").read_text() if kernel else "console=ttyS0")
    for name, path, content in (("boot", "init", init), ("app", "app", b"app" * 100_000)):
        tree = Tree()
        tree.add_file(path, content, mode=0o755, origin="enclaver")
        save_tree(tree, [Input("target", name, "0" * 64, 1)], folder / f"{name}.cpio", folder / f"{name}.json")
    signature = f"signature:\n  certificate: certificate.pem\n  key: {key}\n" if key else ""
    (folder / "enclaver.yaml").write_text(MANIFEST + signature)
    return Parts(folder, str(key) if key else None)


def recorded(eif: Path) -> dict[str, str]:
    """The registers in ``X.pcrs.json``."""
    body: dict[str, str] = json.loads(eif.with_suffix(".pcrs.json").read_bytes())["Measurements"]
    return {name: value for name, value in body.items() if name.startswith("PCR")}


def described(eif: Path, logs: Path) -> dict[str, Any]:
    """What nitro-cli describe-eif says."""
    done = subprocess.run(
        [require("nitro-cli"), "describe-eif", "--eif-path", eif],
        env={**os.environ, "NITRO_CLI_LOGS_PATH": str(logs)},
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def built_by_aws(parts: Parts, output: Path, key: Path) -> dict[str, str]:
    """What eif_build measures of the same parts, signed with the same certificate and key."""
    folder = parts.folder
    done = subprocess.run(
        [
            require("eif_build"),
            *("--arch", "x86_64", "--kernel", folder / "kernel" / "bzImage"),
            *("--cmdline", (folder / "kernel" / "cmdline").read_text().strip()),
            *("--ramdisk", folder / "boot.cpio", "--ramdisk", folder / "app.cpio", "--output", output),
            *("--name", "signed", "--img-os", "Linux", "--img-kernel", "6.12"),
            *("--build-time", "1970-01-01T00:00:00+00:00"),
            *("--private-key", key, "--signing-certificate", folder / "certificate.pem"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout[done.stdout.index("{") :])
    return {name: value for name, value in found.items() if name.startswith("PCR")}
