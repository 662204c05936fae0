"""A small repository of a user's: the plugin on its path, a kernel as files, and a base from an archive of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from enclaver.build.image_config import obeyed_config
from enclaver.core.eif.reader import read
from tests import fake_debian
from tests.fake_debian import Member, symlink

CHECKOUT = Path.cwd()
ELF = b"\x7fELF\x02\x01" + bytes(10) + b"\x02\0\x3e\0"  # A program for x86_64.
CONFIG = """
[GLOBAL]
pants_version = "2.17.1"
backend_packages = ["enclaver", "pants.backend.docker", "pants.backend.python"]
pythonpath = [{plugins!r}, {runtime!r}]
ignore_warnings = ["DEPRECATED: Running Pants in an external Python interpreter"]
dynamic_ui = false

[anonymous-telemetry]
enabled = false

[python]
interpreter_constraints = ["CPython==3.11.*"]

[python-infer]
use_rust_parser = true

[docker]
env_vars = ["DOCKER_BUILDKIT", "DOCKER_CONFIG", "DOCKER_HOST"]

[enclaver]
mirrors = [{mirror!r}]
default_base = {{ x86_64 = "//:base" }}
default_kernel = {{ x86_64 = "//:kernel" }}
"""
BUILD = """
enclave_kernel(name="kernel", sources=["bzImage", "cmdline"])
enclave_base(name="base", lock="base.lock.json")
"""
MANIFEST = "version: v1\nname: {name}\ntarget: {name}:1\nsources:\n  app: {app}\n"
# Options of the Pants around this one, and where the PEX of these tests finds its modules, are not for the nested one;
# but it may use the same caches.
OTHERS = ("PANTS_", "PEX_", "__PEX_")
KEPT = ("PANTS_LOCAL_STORE_DIR", "PANTS_NAMED_CACHES_DIR", "PANTS_PYTHON", "PANTS_VENV_CACHE")


class Repository:
    """A repository in a folder of its own, with a daemon of its own; its base's packages come from a mirror beside it.

    A start of Pants costs ten seconds and a request to its daemon one, so whoever makes a repository has to close it.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a user's repository"
        self._mirror = folder / "mirror"
        self.root.mkdir()
        for part in ("pants", "3rdparty/python/pants/pants.lock"):
            (self.root / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / part, self.root / part)
        plugins, runtime = str(CHECKOUT / "pants-plugins"), str(CHECKOUT / "runtime")
        self.write("pants.toml", CONFIG.format(plugins=plugins, runtime=runtime, mirror=self._mirror.as_uri()))
        self.write("BUILD", BUILD)
        self.kernel("bzImage", 0x202, b"HdrS")
        self.write("cmdline", "console=ttyS0")
        data = fake_debian.deb(
            [Member("./usr/bin/python3.11", ELF, mode=0o755), symlink("./usr/bin/python3", "python3.11")]
        )
        package = fake_debian.package("base", data)
        served = self._mirror / "debian" / package.path
        served.parent.mkdir(parents=True)
        served.write_bytes(data)
        fake_debian.write_lock(self.root / "base.lock.json", [package], ["base"])

    def close(self) -> None:
        """End the daemon."""
        for path in self.root.glob(".pids/*/pantsd/pid"):
            with suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGTERM)

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file of the repository."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)

    def kernel(self, path: str, offset: int, magic: bytes) -> None:
        """Write as much of a kernel as an image needs to know its architecture by."""
        self.write(path, bytes(offset) + magic + bytes(4096))

    def image(self, folder: str, build: str, *, app: str = ":app", manifest: str = "") -> None:
        """Write a folder with a manifest and a BUILD file, in which ``enclave`` is to be an image."""
        self.write(f"{folder}/enclaver.yaml", MANIFEST.format(name=folder, app=app) + manifest)
        self.write(f"{folder}/BUILD", build)

    def pants(
        self, *arguments: str, daemon: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Pants by the checkout's launcher, in this repository."""
        with self.started(*arguments, daemon=daemon, environment=environment) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def started(
        self, *arguments: str, daemon: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start Pants as the first of a group of processes, as a shell does it."""
        inherited = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(OTHERS)}
        return subprocess.Popen(
            [self.root / "pants", *arguments],
            cwd=self.root,
            env={**inherited, "PANTS_PANTSD": str(daemon).lower(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def succeeds(
        self, *arguments: str, daemon: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Pants; an error fails the test with Pants' own words."""
        done = self.pants(*arguments, daemon=daemon, environment=environment)
        assert done.returncode == 0, done.stderr
        return done

    def refused(self, address: str, *, environment: Mapping[str, str] | None = None) -> str:
        """Package what can't be packaged; return what Pants says. Nothing may be left of it."""
        done = self.pants("package", address, environment=environment)
        assert done.returncode == 1, done.stderr
        left = self.root / "dist" / address.split(":")[0].replace("/", ".")
        assert not left.exists(), list(left.iterdir())
        assert "Traceback" not in done.stderr
        return done.stderr

    def obeyed(self, folder: str) -> Mapping[str, Any]:
        """Return the runtime.json of a packaged image."""
        config = obeyed_config(read(self.root / "dist" / folder / "enclave.eif"))
        assert config is not None
        value: Mapping[str, Any] = json.loads(config)
        return value

    def paths(self, folder: str) -> set[str]:
        """Return the paths below ``/app`` in a packaged image."""
        ramdisks = self.materials(folder)["ramdisks"]
        entries = [entry["path"] for ramdisk in ramdisks for entry in ramdisk["entries"]]
        return {path[len("rootfs/app/") :] for path in entries if path.startswith("rootfs/app/")}

    def materials(self, folder: str) -> Mapping[str, Any]:
        """Return the materials of a packaged image."""
        return self._json(folder, "enclave.materials.json")

    def pcrs(self, folder: str) -> Mapping[str, str]:
        """Return the PCRs of a packaged image."""
        report = self._json(folder, "enclave.pcrs.json")
        return {name: value for name, value in report["Measurements"].items() if name.startswith("PCR")}

    def _json(self, folder: str, name: str) -> Mapping[str, Any]:
        value: Mapping[str, Any] = json.loads((self.root / "dist" / folder / name).read_bytes())
        return value
