"""`run` of an image in a user's repository, with stand-ins for the emulator's programs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.emulator_stand_ins import qemu, vhost_device_vsock
from tests.rules.repository import Repository

pytestmark = pytest.mark.slow
RUNNING, EXITED = '{"status":"running"}\n', '{"status":"exited","code":42}\n'


@pytest.fixture(scope="module")
def image(repository: Repository) -> str:
    """An image of a script with an ingress port."""
    repository.image("running", 'enclave_image(name="enclave")', app="//files:script", manifest=MANIFEST)
    # Once without the tests' environments, which the daemon would keep.
    repository.succeeds("package", "running:enclave")
    # Python looks here first for what a program of the command line imports, unless the program takes care.
    repository.write("enclaver/__init__.py", "raise ImportError('the repository was imported')\n")
    repository.write("trio.py", "raise ImportError('the repository was imported')\n")
    return "running:enclave"


MANIFEST = "ingress:\n  - listen_port: 8000\ndefaults:\n  memory_mb: 512\n"


@pytest.fixture
def tools() -> Iterator[Path]:
    """The tool folder, and a temporary folder in it, with a path that leaves room for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (Path(folder) / "bin").mkdir()
        (Path(folder) / "tmp").mkdir()
        qemu(Path(folder) / "bin" / "qemu-system-x86_64")
        yield Path(folder)


def environment(tools: Path, guest: Mapping[int, list[str]]) -> dict[str, str]:
    vhost_device_vsock(tools / "bin" / "vhost-device-vsock", guest)
    return {"ENCLAVER_TOOLS": str(tools), "TMPDIR": str(tools / "tmp")}


def test_an_image_is_packaged_and_run_with_the_users_arguments(repository: Repository, image: str, tools: Path) -> None:
    guest = {17000: [RUNNING, EXITED], 17001: ["hello from IMAGE\n"]}
    arguments = ("run", image, "--", "--emulate", "-p", "127.0.0.1:0:8000", "--cpu-count", "3")
    done = repository.pants(*arguments, environment=environment(tools, guest))
    # Pants' own exit code is the command's, which is the app's.
    assert done.returncode == 42, done.stderr
    assert "running/enclave.eif" in done.stdout
    assert "PROTECTS NOTHING" in done.stderr
    assert "512 MiB, 3 processors" in done.stderr
    assert "leads to the enclave's port 8000" in done.stderr
    assert "enclaver: the app exited with code 42\n" in done.stderr
    assert os.listdir(tools / "tmp") == []


def test_what_the_command_refuses_is_its_own_message(repository: Repository, image: str, tools: Path) -> None:
    done = repository.pants("run", image, "--", "--emulate", "-p", "1:9000", environment=environment(tools, {}))
    assert done.returncode == 1
    assert "the enclave has no ingress port 9000 (it has: 8000)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_the_enclave_and_leaves_nothing(repository: Repository, image: str, tools: Path) -> None:
    guest = {17000: [RUNNING, "wait"], 17001: ["hello\n", "wait"]}
    with repository.started("run", image, "--", "--emulate", environment=environment(tools, guest)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hello\n"
        # As a terminal does it: all of the foreground's processes.
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode != 0
    assert os.listdir(tools / "tmp") == []
