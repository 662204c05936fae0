"""Target images of real parts: Debian's packages by the locks that ship, the runtime's wheels, an example's enclave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from enclaver.build import debian
from enclaver.core.errors import EnclaverError
from enclaver.system import wheels
from tests.integration.runtime.booted import app
from tests.integration.tools import ROOT, require

LOCKS = ROOT / "pants-plugins" / "enclaver" / "locks"
HELLO = app("enclave", "examples/hello")
MANIFEST = ROOT / "examples" / "hello" / "enclaver.yaml"
PLAIN, EMULATING = "runner.amd64", "runner-emulator.amd64"
NAME = "127.0.0.1:5000/hello:1"


@dataclass(frozen=True, slots=True)
class Parts:
    """What all target images are made of, fetched into a folder."""

    folder: Path

    @classmethod
    def fetched(cls, folder: Path, *locks: str) -> Parts:
        """Fetch it; where the archive is not reachable, the test is skipped, or fails as ``require`` says."""
        parts = cls(folder)
        # A copy: what somebody edits meanwhile makes no difference between two images.
        for package in (ROOT / "pants-plugins" / "enclaver", ROOT / "runtime" / "enclaver_runtime"):
            shutil.copytree(package, parts.sources / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            for name in locks:
                lock, (archive, entries) = LOCKS / f"{name}.lock.json", parts.tree(name)
                debian.fetch(lock=lock, output=folder / name, cache=folder / "cache")
                debian.tree(lock=lock, debs=folder / name, cpio=archive, entries=entries)
            wheels.download(LOCKS / "runtime.lock", folder / "wheels")
        except EnclaverError as error:
            if os.environ.get("ENCLAVER_REQUIRE_TOOLS") == "1":
                pytest.fail(str(error))
            pytest.skip(str(error))
        return parts

    @property
    def sources(self) -> Path:
        """The folder that our packages lie in."""
        return self.folder / "sources"

    def tree(self, name: str) -> tuple[Path, Path]:
        """Return archive and entries of a lock's Debian tree."""
        return self.folder / f"{name}.cpio", self.folder / f"{name}.entries.json"

    def build(
        self,
        output: Path,
        *options: str | Path,
        eif: Path = HELLO,
        name: str = NAME,
        emulator: bool = False,
        umask: int = 0o022,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Path:
        """Write an image by the stage, as a process of its own; return the archive's path."""
        archive, entries = self.tree(EMULATING if emulator else PLAIN)
        emulates = ("--emulator", "--vhost-device-vsock", require("vhost-device-vsock")) if emulator else ()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "enclaver.cli.stages.target_image"),
                *("--tree", archive, "--entries", entries),
                *("--wheels", self.folder / "wheels", "--wheel-lock", LOCKS / "runtime.lock"),
                *("--sources", self.sources),
                *("--eif", eif.absolute(), "--manifest", MANIFEST, "--name", name, "--output", output),
                *emulates,
                *options,
            ],
            umask=umask,
            cwd=cwd,
            env={"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path), **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return output.with_name(output.name + ".image.tar")
