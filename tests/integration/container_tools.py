"""A docker daemon and an image registry of the tests' own: real ones, started for a module and gone after it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.tools import require

_START_SECONDS = 60
_STOP_SECONDS = 30
#: Who may use a registry that asks: name, password and the password's bcrypt hash.
USER, PASSWORD = "auditor", "correct horse"
_HTPASSWD = "$2y$05$7KdzZU8WVKiKWPBSNxWMzOP34aXFIjZzOJHxOYzC2sz3ih5zpHROy"


@dataclass(frozen=True, slots=True)
class DockerDaemon:
    """A daemon with images of its own.

    Args:
        host: what DOCKER_HOST is to be.
        environment: the process's own, with that and no other configuration of docker's.
    """

    host: str
    environment: Mapping[str, str]

    def docker(self, *argv: str | Path, data: bytes | None = None) -> str:
        """Run the docker command and return what it printed; fails with what it complained of."""
        done = subprocess.run(
            [require("docker"), *argv], env=dict(self.environment), input=data, capture_output=True, check=False
        )
        assert done.returncode == 0, f"docker {argv[0]}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode().strip()

    def build(self, tag: str, context: Path, *options: str) -> str:
        """Build a Dockerfile's folder by the daemon itself (there is no buildx here); return the image's id."""
        self.docker("build", "--quiet", "--tag", tag, *options, context)
        return self.docker("image", "inspect", "--format", "{{.Id}}", tag)


@contextmanager
def docker_daemon(*options: str) -> Iterator[DockerDaemon]:
    """Start dockerd on a socket of its own, with no network but the host's; stop it and remove all it had.

    It takes no image from anywhere but registries on this machine.
    """
    program = require("dockerd")
    if os.geteuid() != 0:
        if os.environ.get("ENCLAVER_REQUIRE_TOOLS") == "1":
            pytest.fail("dockerd has to be started by root")
        pytest.skip("dockerd has to be started by root")
    # A socket's path is at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="enclaver-docker-", dir="/tmp"))
    host = f"unix://{folder}/docker.sock"
    (folder / "config").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")},
        "DOCKER_HOST": host,
        "DOCKER_CONFIG": str(folder / "config"),
        "DOCKER_BUILDKIT": "0",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(program, "--host", host, "--data-root", folder / "data", "--exec-root", folder / "exec"),
                *("--pidfile", folder / "pid", "--bridge=none", "--iptables=false", "--ip6tables=false"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(process, folder / "docker.sock", folder / "log")
            yield DockerDaemon(host, environment)
        finally:
            _stop(process)
            _remove(folder)


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry on this machine, by plain http: ``host`` is its name in references (``127.0.0.1:PORT``)."""

    host: str
    storage: Path


@contextmanager
def registry(folder: Path, *, password: bool = False, settings: Sequence[str] = ()) -> Iterator[Registry]:
    """Start a registry that keeps its images in ``folder``; stop it.

    Args:
        password: only USER with PASSWORD may use it (basic authentication).
        settings: further lines of its configuration (YAML).
    """
    program = require("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "htpasswd").write_text(f"{USER}:{_HTPASSWD}\n")
    auth = ["auth:", "  htpasswd:", "    realm: tests", f"    path: {folder}/htpasswd"] if password else []
    (folder / "config.yml").write_text(
        "\n".join(
            [
                *("version: 0.1", "log:", "  level: warn", "storage:", "  delete:", "    enabled: true"),
                *("  filesystem:", f"    rootdirectory: {folder}/storage", "http:", f"  addr: {host}"),
                *auth,
                *settings,
            ]
        )
        + "\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", folder / "config.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            _wait(process, host, folder / "log")
            yield Registry(host, folder / "storage")
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], place: Path | str, log: Path) -> None:
    """Wait until somebody listens on a unix socket or a TCP port."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
        with socket.socket(family) as attempt:
            try:
                host, _, port = str(place).rpartition(":")
                attempt.connect(str(place) if isinstance(place, Path) else (host, int(port)))
                return
            except OSError:
                time.sleep(0.05)
    pytest.fail(f"{process.args!r} does not start: {log.read_text(errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _remove(folder: Path) -> None:
    """Remove a daemon's folder, and what a killed one has left mounted in it."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        inside = [line.split(" ")[1] for line in mounts if line.split(" ")[1].startswith(f"{folder}/")]
    for mount in reversed(inside):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)
