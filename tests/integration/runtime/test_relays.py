"""Ingress and egress of a booted guest, through the emulator's vsock: all bytes, in order, to the right end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.runtime.booted import Runner
from tests.integration.runtime.relayed import LATE_PORT, PORT, connect, order, pattern, receive, receive_all, relaying

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with relaying() as runner:
        yield runner


def echoed(runner: Runner, data: bytes) -> bytes:
    """What comes back for ``data``, which is sent while it does."""
    with connect(runner) as client, ThreadPoolExecutor(1) as sender:
        sent = sender.submit(client.sendall, b"echo\n" + data)
        answer = receive(client, len(data))
        sent.result()
        return answer


def test_ports_are_mapped_and_bytes_go_both_ways_at_once(runner: Runner) -> None:
    assert runner.published(PORT)[1] not in (PORT, runner.published(LATE_PORT)[1])
    data = pattern(4 * MIB)
    assert echoed(runner, data) == data


def test_connections_do_not_mix(runner: Runner) -> None:
    texts = [b"%04d" % number * 5000 for number in range(32)]
    with ThreadPoolExecutor(len(texts)) as clients:
        assert list(clients.map(lambda text: echoed(runner, text), texts)) == texts


def test_an_app_that_ends_first_has_said_everything(runner: Runner) -> None:
    assert order(runner, f"send {2 * MIB}") == pattern(2 * MIB)


def test_a_client_that_ends_its_output_still_gets_its_answer(runner: Runner) -> None:
    data = pattern(MIB // 4)
    with connect(runner) as client:
        client.sendall(b"echo\n" + data)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == data


def test_a_connection_that_comes_before_the_app_listens_waits_for_it(runner: Runner) -> None:
    with connect(runner, LATE_PORT) as early:
        early.sendall(b"early")
        assert order(runner, "late") == b"yes\n"
        assert receive(early, 5) == b"early"


def test_a_slow_reader_loses_nothing(runner: Runner) -> None:
    size = 3 * MIB
    with connect(runner) as slow:
        slow.sendall(b"send %d\n" % size)
        begun = receive(slow, 1000)
        # Meanwhile, others are served.
        assert echoed(runner, b"quick") == b"quick"
        assert begun + receive_all(slow) == pattern(size)
