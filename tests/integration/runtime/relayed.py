"""The app that relays are tested with, and what its clients do (tests/integration/runtime/apps/relays.py)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.runtime.booted import PATIENCE, Runner, app, running

PORT, LATE_PORT = 8001, 8002


@contextmanager
def relaying() -> Iterator[Runner]:
    """Run the app, both of its ports mapped to ports that are free."""
    with running(app("relays"), "-p", f"127.0.0.1:0:{PORT}", "-p", f"127.0.0.1:0:{LATE_PORT}") as runner:
        runner.wait_for_log("^listening")
        yield runner


def connect(runner: Runner, port: int = PORT) -> socket.socket:
    """Connect to one of the app's ports."""
    return socket.create_connection(runner.published(port), timeout=PATIENCE)


def order(runner: Runner, line: str) -> bytes:
    """Give an order; all that is answered."""
    with connect(runner) as client:
        client.sendall(line.encode() + b"\n")
        return receive_all(client)


def receive_all(client: socket.socket) -> bytes:
    """Everything up to the end."""
    data = bytearray()
    while piece := client.recv(1 << 16):
        data += piece
    return bytes(data)


def receive(client: socket.socket, size: int) -> bytes:
    """So many bytes, or those up to the end."""
    data = bytearray()
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return bytes(data)


def pattern(size: int) -> bytes:
    """The app's own: bytes that tell of a piece that is missing or in the wrong place."""
    return b"".join(b"%015d\n" % place for place in range(0, size, 16))[:size]
