"""Packaged images booted in QEMU: what the guest measures, what the app sees, how its end becomes the runner's."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from enclaver.cli import main as enclaver
from tests.integration.spine import packaged
from tests.integration.tools import require, tool_folder

# An emulated boot takes some seconds; a machine that also builds takes several times that.
PATIENCE = 300
MACHINES = ("nitro-enclave", "microvm")


@dataclass(frozen=True)
class Ended:
    """A run that ended: its exit code, the app's log and what the runner and the console said."""

    code: int
    log: str
    said: str


def command(eif: Path, machine: str, *options: str) -> list[str]:
    qemu = require("qemu-nitro" if machine == "nitro-enclave" else "qemu-microvm")
    require("vhost-device-vsock")
    base = [sys.executable, str(enclaver.__file__), "run", str(eif), "--emulate", "--console"]
    return [*base, "--machine", machine, "--qemu", str(qemu), *options]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ENCLAVER_TOOLS": str(tool_folder())}


def run(eif: Path, machine: str) -> Ended:
    done = subprocess.run(command(eif, machine), capture_output=True, timeout=PATIENCE, env=environment(), check=False)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


@contextmanager
def running(eif: Path, machine: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command(eif, machine, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_guest_measures_what_was_recorded() -> None:
    ended = run(packaged.app("exits"), "nitro-enclave")
    seen = dict(re.findall(r"(PCR[012])=([0-9a-f]{96})", ended.said))
    assert seen == packaged.pcrs(packaged.app("exits"))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_apps_exit_code_is_the_runners_and_its_last_words_arrive(machine: str) -> None:
    ended = run(packaged.app("exits"), machine)
    assert ended.code == 3, ended.said
    assert ended.log.endswith("last words\n")


def test_a_signal_is_reported_as_107() -> None:
    ended = run(packaged.app("killed"), "nitro-enclave")
    assert (ended.code, "SIGKILL" in ended.said) == (107, True), ended.said
    assert ended.log.endswith("last words\n")


def test_an_app_that_cannot_start_is_reported_as_108_with_its_name() -> None:
    ended = run(packaged.app("unstartable"), "nitro-enclave")
    assert ended.code == 108, ended.said
    assert "/app/unstartable.py" in ended.said


def test_the_app_is_confined() -> None:
    ended = run(packaged.app("exits"), "nitro-enclave")
    line = next(line for line in ended.log.splitlines() if line.startswith("looks: "))
    looks = json.loads(line.removeprefix("looks: "))
    assert (looks["uid"], looks["gid"], looks["groups"]) in ((1000, 1000, []), (1000, 1000, [1000]))
    assert (looks["no_new_privileges"], int(looks["capabilities"], 16)) == ("1", 0)
    assert looks["cwd"] == "/app"
    assert "rootfs" not in looks["root"]
    assert "nsm" not in looks["devices"]
    assert looks["greeting"] == "hello from BUILD"
    assert looks["tmp"] is True
    assert looks["argv"] == ["/app/ends.py", "exit", "3"]
    # Standard streams, and the folder that is being listed.
    assert len(looks["descriptors"]) == 4


class Greeter(BaseHTTPRequestHandler):
    """The one site that the asking app may reach."""

    def do_GET(self) -> None:
        body = f"you asked {self.headers['Host']} for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (The base class names it so.)
        """Say nothing: pytest shows what the test has to say."""


@contextmanager
def greeter() -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 18473), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_the_app_reaches_what_it_may_and_learns_why_it_may_not_the_rest() -> None:
    with greeter():
        ended = run(packaged.app("asks"), "nitro-enclave")
    assert ended.code == 0, ended.log + ended.said
    line = next(line for line in ended.log.splitlines() if line.startswith("answers: "))
    greeted, *refused = json.loads(line.removeprefix("answers: "))
    assert greeted == [200, "you asked host:18473 for /greeting"]
    assert [status for status, _ in refused] == [401, 401, 401]
    assert all("blocked by egress security policy" in body for _, body in refused)


def test_hello_says_hello_and_an_interrupted_runner_leaves_nothing(tmp_path: Path) -> None:
    with running(packaged.HELLO, "nitro-enclave") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"hello from the enclave")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 109


def test_hello_answers_through_its_ingress_port() -> None:
    with running(packaged.HELLO, "nitro-enclave", "-p", "127.0.0.1:0:8000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = next(found[1] for line in process.stderr if (found := re.search(rb"(127\.0\.0\.1:\d+) leads to", line)))
        assert process.stdout.readline().startswith(b"hello from the enclave")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://{url.decode()}/", timeout=PATIENCE) as answer:
                    told = json.load(answer)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.5)
    assert (told["message"], told["uid"]) == ("hello from the enclave", 1000)
