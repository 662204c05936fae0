"""Many connections, much data and bad peers: both sides as processes of their own, over unix sockets, without a guest.

A guest would add nothing but its emulator's slowness. What vsock changes, the last tests boot one for; their numbers
are small, since every instruction is emulated.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks import proxy_client, proxy_routes
from benchmarks.proxy_origin import SMALL
from benchmarks.proxy_routes import Route
from enclaver_runtime.parent.limits import allow_many_files
from enclaver_runtime.transport.relay.pipes import MAX_PIPES
from tests.integration.runtime.booted import Runner, app, running
from tests.integration.runtime.booted import get as fetch

MIB = 1 << 20
GIB = 1 << 30

#: Memory that a process may have more than before, in MiB, and still be said not to have grown.
SLACK_MIB = 8

RESET = struct.pack("ii", 1, 0)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    allow_many_files()
    with proxy_routes.origin() as port:
        yield port


@pytest.fixture
def pair(origin: int, tmp_path: Path) -> Iterator[Route]:
    """The enclave's side and the parent's, just started."""
    with proxy_routes.ours(origin, tmp_path) as route:
        idle = open_files(route)
        # The first connection makes what the sides keep in memory; it is to be over before anything is counted.
        get(route)
        eventually(lambda: open_files(route) <= idle)
        yield route


def get(route: Route) -> None:
    """One tunnel, one page."""
    with proxy_client.tunnel(route.egress) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive(plain, len(SMALL)) == SMALL


def receive(plain: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; fewer at the end."""
    data = bytearray()
    while len(data) < size and (piece := plain.recv(size - len(data))):
        data += piece
    return bytes(data)


def open_files(route: Route) -> int:
    """Both sides', but for pipes: those that bulk goes through are kept, a few that all connections share."""
    return sum(not file.startswith("pipe:") for process in route.processes for file in files_of(process))


def files_of(process: int) -> list[str]:
    """What a process has open, as /proc names it."""
    found = []
    for entry in os.scandir(f"/proc/{process}/fd"):
        # Closed meanwhile.
        with suppress(FileNotFoundError):
            found.append(os.readlink(entry.path))
    return found


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what comes by itself, a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def steady(route: Route, mib: float = SLACK_MIB) -> Iterator[None]:
    """Afterwards, the sides have no more files open than before, nor noticeably more memory."""
    files, memory = open_files(route), route.memory_mib()
    yield
    eventually(lambda: open_files(route) <= files)
    for process in route.processes:
        # Each pipe has two ends; two more are the process's own input and output.
        assert sum(file.startswith("pipe:") for file in files_of(process)) <= 2 * MAX_PIPES + 2
    assert route.memory_mib() <= memory + mib


def test_two_thousand_connections_are_held_open_and_served(pair: Route) -> None:
    with steady(pair, mib=40), ExitStack() as stack:
        held = [stack.enter_context(proxy_client.tunnel(pair.egress)) for _ in range(2000)]
        for plain in held:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for plain in held:
            assert receive(plain, len(SMALL)) == SMALL
        get(pair)
        assert pair.memory_mib() < 120


def test_twenty_thousand_connections_one_after_the_other_leave_nothing(pair: Route) -> None:
    for _ in range(2000):
        get(pair)
    with steady(pair):
        for _ in range(20_000):
            get(pair)


@pytest.mark.parametrize("way", ["egress", "ingress"])
def test_a_gibibyte_each_way_at_once_with_flat_memory(pair: Route, way: str) -> None:
    entrance = pair.egress if way == "egress" else pair.ingress
    proxy_client.download(entrance, 8 * MIB)
    with steady(pair):
        before = pair.peak_mib()
        threads = [
            threading.Thread(target=load, args=(entrance, GIB)) for load in (proxy_client.download, proxy_client.upload)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pair.peak_mib() <= before + SLACK_MIB


def test_clients_that_dribble_harm_nobody(pair: Route) -> None:
    head = pair.egress.connect
    with steady(pair, mib=40), ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", pair.egress.port))) for _ in range(500)]
        for length in range(0, len(head), 9):
            for plain in slow:
                plain.sendall(head[length : length + 9])
            get(pair)
        for plain in slow:
            assert receive(plain, 12) == b"HTTP/1.1 200"


def test_connections_of_which_one_direction_has_ended_are_held_and_let_go(pair: Route) -> None:
    with steady(pair, mib=40), ExitStack() as stack:
        half = [stack.enter_context(proxy_client.tunnel(pair.egress)) for _ in range(300)]
        for plain in half:
            plain.sendall(b"GET /100 HTTP/1.1\r\nHost: x\r\n\r\n")
            plain.shutdown(socket.SHUT_WR)
        get(pair)
        for plain in half:
            assert receive(plain, 1000).endswith(bytes(100))


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_resets_in_the_middle_of_bodies_leave_nothing(pair: Route, method: bytes) -> None:
    with steady(pair):
        for _ in range(300):
            with proxy_client.tunnel(pair.egress) as plain:
                plain.sendall(method + b" /100000000 HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(200_000) * (method == b"PUT"))
                if method == b"GET":
                    receive(plain, 200_000)
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        get(pair)


def test_readers_that_stop_reading_hold_little(pair: Route) -> None:
    with steady(pair, mib=40), ExitStack() as stack:
        before = pair.memory_mib()
        for _ in range(100):
            plain = stack.enter_context(proxy_client.tunnel(pair.egress))
            plain.sendall(b"GET /100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            receive(plain, 200_000)
        get(pair)
        # Both sides hold 256 KiB a connection at most.
        assert pair.memory_mib() <= before + 2 * 100 / 4 + SLACK_MIB


GARBAGE = [b"", b"\0", b"\0\0", b"\xff\xff", b"\x02\x00{}", b"\x05\x00{{{{{", b"\x10\x00" + bytes(16), b"\x01"]


def test_garbage_instead_of_frames_is_dropped_and_said_a_few_times(pair: Route, tmp_path: Path) -> None:
    with steady(pair):
        for _ in range(200):
            for garbage in GARBAGE:
                with socket.socket(socket.AF_UNIX) as plain:
                    plain.connect(f"{tmp_path}/parent_17002")
                    plain.sendall(garbage)
        get(pair)
    said = [line for line in (tmp_path / "said").read_text().splitlines() if "a connection was dropped" in line]
    assert 1 <= len(said) <= 100


def test_a_flood_of_connections_is_served_in_the_end(pair: Route) -> None:
    with steady(pair, mib=40), selectors.DefaultSelector() as selector, ExitStack() as stack:
        for _ in range(1000):
            plain = stack.enter_context(socket.socket())
            plain.setblocking(False)
            plain.connect_ex(("127.0.0.1", pair.egress.port))
            selector.register(plain, selectors.EVENT_WRITE)
        answered = 0
        while answered < 1000:
            for key, events in selector.select():
                plain = key.fileobj  # type: ignore[assignment]  # Sockets are all that is registered.
                if events & selectors.EVENT_WRITE:
                    plain.send(pair.egress.connect)
                    selector.modify(plain, selectors.EVENT_READ)
                else:
                    assert plain.recv(100).startswith(b"HTTP/1.1 200")
                    selector.unregister(plain)
                    answered += 1


@pytest.fixture(scope="module")
def guest() -> Iterator[Runner]:
    with running(app("load"), "-p", "127.0.0.1:0:8000", "--memory-mb", "512") as runner:
        runner.wait_for_log("^ready$")
        yield runner


def in_guest(guest: Runner, what: str, port: int) -> dict[str, object]:
    """What the guest's app says of a kind of load on this machine's port."""
    answer = fetch(guest.url(8000, f"/{what}?port={port}"))
    assert answer.status == 200, answer.body
    found = json.loads(answer.body)
    assert isinstance(found, dict)
    return found


def test_a_guest_holds_many_tunnels_and_makes_many(guest: Runner, origin: int) -> None:
    held = in_guest(guest, "hold", origin)
    assert held["answered"] == held["asked"] == 200
    made = in_guest(guest, "many", origin)
    assert made["answered"] == made["asked"] == 300
    # PID 1's own, before and after: sockets of tunnels that have ended are closed.
    assert in_guest(guest, "hold", origin)["answered"] == 200


@contextmanager
def echo() -> Iterator[int]:
    """The port of what sends everything back to one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with plain:
                while data := plain.recv(MIB):
                    plain.sendall(data)

        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()[1]
        server.join()


def test_much_goes_both_ways_through_vsock_as_it_was_sent(guest: Runner) -> None:
    with echo() as port:
        assert in_guest(guest, "bulk", port) == {"sent": 16 * MIB, "received": 16 * MIB, "same": True}


def test_resets_and_garbage_from_a_guest_leave_the_next_one_served(guest: Runner, origin: int) -> None:
    assert in_guest(guest, "reset", origin)["answered"] == 1
    assert in_guest(guest, "garbage", origin)["answered"] == 1
    guest.wait_for_said("egress: a connection was dropped: not an egress request")


def test_what_splice_does_on_vsock(guest: Runner, origin: int) -> None:
    found = in_guest(guest, "splice", origin)
    # Whichever it is, the relay takes it; docs/runtime.md says what was seen.
    assert found["in"] in ("moved", "EINVAL")
    assert found["out"] in ("moved", "EINVAL")
