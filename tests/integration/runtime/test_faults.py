"""Peers of a booted guest that stall, break off or go away: they harm themselves, and the next one is served.

What needs no guest is in test_load.py and in the unit tests.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.runtime.booted import Runner
from tests.integration.runtime.relayed import connect, order, pattern, receive, relaying

pytestmark = pytest.mark.slow

RESET = struct.pack("ii", 1, 0)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with relaying() as runner:
        yield runner


@contextmanager
def origin(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """An origin on the parent's loopback: each connection is given to ``answer`` when its request's head has come."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
                    head += byte
                if head:
                    answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        yield listener.getsockname()[1]
        # Closing does not wake who accepts.
        listener.shutdown(socket.SHUT_RDWR)
        server.join()


def is_served(runner: Runner) -> bool:
    """Whether ingress and egress do what they are for."""
    with origin(lambda connection: connection.sendall(PAGE)) as port:
        return order(runner, f"fetch http://host:{port}/") == b"200 page"


def test_clients_that_stall_inside_harm_nobody(runner: Runner) -> None:
    with origin(lambda connection: connection.sendall(PAGE)) as port:
        assert order(runner, f"stall {port}") == b"100\n"
    assert is_served(runner)


def test_clients_that_stall_outside_harm_nobody(runner: Runner) -> None:
    with ExitStack() as stalled:
        for number in range(100):
            client = stalled.enter_context(connect(runner))
            client.sendall(b"echo\nhalf"[: number % 9])
        assert is_served(runner)
    # Half-open connections of which the other end has gone, too.
    assert is_served(runner)


def test_a_client_that_resets_amid_an_answer_harms_nobody(runner: Runner) -> None:
    for _ in range(10):
        with connect(runner) as client:
            client.sendall(b"send 2000000\n")
            assert receive(client, 1000) == pattern(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert is_served(runner)


def test_an_origin_that_breaks_off_is_no_complete_answer(runner: Runner) -> None:
    def break_off(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    with origin(break_off) as port:
        answer = order(runner, f"fetch http://host:{port}/")
    assert re.fullmatch(rb"failed: (IncompleteRead|ConnectionResetError.*)", answer), answer
    assert is_served(runner)


def test_an_origin_that_goes_away_and_comes_back(runner: Runner) -> None:
    with origin(lambda connection: connection.sendall(PAGE)) as port:
        assert order(runner, f"fetch http://host:{port}/") == b"200 page"
    answer = order(runner, f"fetch http://host:{port}/")
    assert answer.startswith(b"503 127.0.0.1 port ")
    assert answer.endswith(b"Connection refused\n")
    assert is_served(runner)
