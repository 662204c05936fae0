"""Packaged images booted in QEMU: what the guest measures, what the app sees, how its end becomes the runner's."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.integration.runtime.booted import MICROVM, NITRO_ENCLAVE, PATIENCE, get, run, running
from tests.integration.spine import packaged


def test_the_guest_measures_what_was_recorded() -> None:
    ended = run(packaged.app("exits"))
    seen = dict(re.findall(r"(PCR[012])=([0-9a-f]{96})", ended.said))
    assert seen == packaged.pcrs(packaged.app("exits"))


@pytest.mark.parametrize("machine", [NITRO_ENCLAVE, MICROVM])
def test_the_apps_exit_code_is_the_runners_and_its_last_words_arrive(machine: str) -> None:
    ended = run(packaged.app("exits"), machine=machine)
    assert ended.code == 3, ended.said
    assert ended.log.endswith("last words\n")


def test_a_signal_is_reported_as_107() -> None:
    ended = run(packaged.app("killed"))
    assert (ended.code, "SIGKILL" in ended.said) == (107, True), ended.said
    assert ended.log.endswith("last words\n")


def test_an_app_that_cannot_start_is_reported_as_108_with_its_name() -> None:
    ended = run(packaged.app("unstartable"))
    assert ended.code == 108, ended.said
    assert "/app/unstartable.py" in ended.said


def test_the_app_is_confined() -> None:
    ended = run(packaged.app("exits"))
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
        ended = run(packaged.app("asks"))
    assert ended.code == 0, ended.log + ended.said
    line = next(line for line in ended.log.splitlines() if line.startswith("answers: "))
    greeted, *refused = json.loads(line.removeprefix("answers: "))
    assert greeted == [200, "you asked host:18473 for /greeting"]
    assert [status for status, _ in refused] == [401, 401, 401]
    assert all("blocked by egress security policy" in body for _, body in refused)


def test_hello_says_hello_and_an_interrupted_runner_says_so() -> None:
    with running(packaged.HELLO) as runner:
        assert runner.wait_for_log("^hello from the enclave")
        runner.process.send_signal(signal.SIGINT)
        assert runner.wait(PATIENCE).code == 109


def test_hello_answers_through_its_ingress_port() -> None:
    with running(packaged.HELLO, "-p", "127.0.0.1:0:8000") as runner:
        answer = get(runner.url(8000))
    told = json.loads(answer.body)
    assert (told["message"], told["uid"]) == ("hello from the enclave", 1000)
