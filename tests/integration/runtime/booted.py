"""Packaged images booted in QEMU by ``enclaver run``, as a user would: the runner is a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from enclaver.cli import main as enclaver
from tests.integration.tools import require, tool_folder

#: Seconds. An emulated boot takes some; a machine that also builds takes several times that.
PATIENCE = 300.0

NITRO_ENCLAVE = "nitro-enclave"
MICROVM = "microvm"

_PAUSE = 0.5


@dataclass(frozen=True)
class Ended:
    """A run that ended: its exit code, the app's log, and what the runner and the console said."""

    code: int
    log: str
    said: str


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: str


def app(name: str, folder: str = "tests/integration/runtime/apps") -> Path:
    """Return the image of a test app, by its target's name and its BUILD file's folder.

    Pants lays it into a test's working folder; by hand, what `package` has left in dist serves.
    """
    path = Path(folder.replace("/", ".")) / f"{name}.eif"
    return path if path.exists() or not ("dist" / path).exists() else "dist" / path


def command(eif: Path, *options: str, machine: str = NITRO_ENCLAVE) -> list[str]:
    """Return the command that runs an image in the emulator; a missing tool skips the test.

    Options come last, so that a test's own win. The console is in what the runner says.
    """
    qemu = require("qemu-nitro" if machine == NITRO_ENCLAVE else "qemu-microvm")
    require("vhost-device-vsock")
    base = [sys.executable, str(enclaver.__file__), "run", str(eif), "--emulate", "--debug-mode"]
    return [*base, "--machine", machine, "--qemu", str(qemu), *options]


def environment() -> dict[str, str]:
    """Return the environment that the command needs: this test's imports and tools."""
    # The PEX that these tests run in is another program's business.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PEX_", "__PEX_"))}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), "ENCLAVER_TOOLS": str(tool_folder())}


def run(eif: Path, *options: str, machine: str = NITRO_ENCLAVE) -> Ended:
    """Run an image to its app's end."""
    with running(eif, *options, machine=machine) as runner:
        return runner.wait()


@contextmanager
def running(eif: Path, *options: str, machine: str = NITRO_ENCLAVE) -> Iterator[Runner]:
    """Run an image; on leaving, the runner is killed if it still runs, and so is its enclave."""
    with started(command(eif, *options, machine=machine)) as runner:
        yield runner


@contextmanager
def started(arguments: list[str], *, read: bool = True, **more: str) -> Iterator[Runner]:
    """Start a runner by its whole command line, with ``more`` in its environment; killed on leaving.

    Without ``read`` nobody takes its standard output before :meth:`Runner.read_log`.
    """
    env = {**environment(), **more}
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, env=env, process_group=0) as process:
        runner = Runner(process)
        if read:
            runner.read_log()
        try:
            yield runner
        except Exception as error:
            # A test that waits for a runner which has ended fails by something that says nothing of it.
            error.add_note(f"the runner's exit code: {process.poll()}\n{runner.story()}")
            raise
        finally:
            # The whole group, since the runner may be a child of what was started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            runner.close()


class Runner:
    """A runner process whose output is collected as it comes. Waits fail the test when patience ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._log, self._said = _Collected(process.stdout), _Collected(process.stderr)
        self._said.start()

    def read_log(self) -> None:
        """Take the app's log from now on."""
        self._log.start()

    @property
    def log(self) -> str:
        """The app's log so far."""
        return self._log.text()

    @property
    def said(self) -> str:
        """What the runner said so far, and the enclave's console."""
        return self._said.text()

    def wait_for_log(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Wait until the app's log has a match (``^`` and ``$`` are a line's), and return it."""
        return self._wait_for(self._log, pattern, patience)

    def wait_for_said(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Wait until the runner or the console has said it."""
        return self._wait_for(self._said, pattern, patience)

    def published(self, enclave_port: int) -> tuple[str, int]:
        """Return the address and port of this machine that lead to a port of the enclave (``-p ADDRESS:0:PORT``)."""
        found = self.wait_for_said(rf"^enclaver: (\S+):(\d+) leads to the enclave's port {enclave_port}$")
        return found[1].strip("[]"), int(found[2])

    def url(self, enclave_port: int, path: str = "/", scheme: str = "http") -> str:
        """Return the URL that leads to a port of the enclave."""
        address, port = self.published(enclave_port)
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}:{port}{path}"

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait for the runner's own end; all of its output is in the result."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {patience:g} s\n{self.story()}") from None
        self.close()
        return Ended(code, self.log, self.said)

    def close(self) -> None:
        """Wait until all output of an ended process is collected."""
        self._log.join()
        self._said.join()

    def _wait_for(self, collected: _Collected, pattern: str, patience: float) -> re.Match[str]:
        found = collected.search(re.compile(pattern, re.MULTILINE), patience)
        assert found is not None, f"no {pattern!r} within {patience:g} s or before the end\n{self.story()}"
        return found

    def story(self) -> str:
        """All that it has written so far."""
        return f"--- log\n{self.log}\n--- said\n{self.said}"


class _Collected:
    """What comes from a pipe, by a thread, so that the writer never waits."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._data = bytearray()
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def text(self) -> str:
        with self._changed:
            return self._data.decode(errors="replace").replace("\r\n", "\n")

    def search(self, pattern: re.Pattern[str], patience: float) -> re.Match[str] | None:
        deadline = time.monotonic() + patience
        with self._changed:
            while (found := pattern.search(self.text())) is None and not self._ended:
                if not self._changed.wait(deadline - time.monotonic()):
                    break
            return found or pattern.search(self.text())

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)

    def _read(self) -> None:
        while data := os.read(self._pipe.fileno(), 1 << 16):
            with self._changed:
                self._data += data
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def get(url: str, patience: float = PATIENCE) -> Answer:
    """Ask for a page, again and again while nobody answers; any status is an answer."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=patience) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())
        except OSError as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"{url} did not answer within {patience:g} s") from error
            time.sleep(_PAUSE)
