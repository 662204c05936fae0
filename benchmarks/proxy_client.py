"""The load of benchmarks/proxy.py: small tunnels, keep-alive requests and bulk, the same for every route."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from benchmarks.proxy_origin import discard, zeros

_BODY = b"Hello, world\n"
_GET = b"GET %s HTTP/1.1\r\nHost: origin\r\n\r\n"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Entrance:
    """How a route is entered: its TCP port, and what a client says there.

    ``connect`` is the head that asks for a tunnel (empty: the route is one already), ``page`` the target of a
    request without a tunnel.
    """

    port: int
    connect: bytes = b""
    page: bytes = b"/"


@dataclass(frozen=True)
class Rate:
    """What a number of exchanges took: seconds of the whole, and of each, in no order."""

    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Exchanges in a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency that so many of them (0 to 1) did not exceed, in seconds."""
        return sorted(self.latencies)[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


#: Yields the socket that has to become readable.
Steps = Generator[socket.socket, None, None]


def _connect(port: int) -> socket.socket:
    # Without waiting: on the loopback the kernel has connected before the call returns. And without TCP_NODELAY: what
    # is sent has been answered before more is, so nothing is ever delayed.
    plain = socket.socket()
    plain.connect(("127.0.0.1", port))
    return plain


def _until(plain: socket.socket, end: bytes) -> Generator[socket.socket, None, bytes]:
    data = b""
    while not data.endswith(end):
        yield plain
        piece = plain.recv(65536)
        if not piece:
            raise ConnectionError(f"the route ended a connection after {data!r}")
        data += piece
    return data


def tunnels(entrance: Entrance, *, at_once: int, seconds: float) -> Rate:
    """New tunnels with one GET each, for so many seconds."""

    def one(latencies: list[float], go_on: Callable[[], bool]) -> Steps:
        while go_on():
            start = time.perf_counter()
            with _connect(entrance.port) as plain:
                if entrance.connect:
                    plain.send(entrance.connect)
                    yield from _until(plain, b"\r\n\r\n")
                plain.send(_GET % b"/")
                yield from _until(plain, _BODY)
            latencies.append(time.perf_counter() - start)

    return _run(one, at_once, seconds)


def requests(entrance: Entrance, *, at_once: int, seconds: float) -> Rate:
    """GETs on connections that are kept, for so many seconds."""

    def one(latencies: list[float], go_on: Callable[[], bool]) -> Steps:
        with _connect(entrance.port) as plain:
            while go_on():
                start = time.perf_counter()
                plain.send(_GET % entrance.page)
                yield from _until(plain, _BODY)
                latencies.append(time.perf_counter() - start)

    return _run(one, at_once, seconds)


def _run(one: Callable[[list[float], Callable[[], bool]], Steps], at_once: int, seconds: float) -> Rate:
    latencies: list[float] = []
    start = time.perf_counter()
    end = start + seconds

    def go_on() -> bool:
        return time.perf_counter() < end

    with select.epoll() as poller:
        waiting: dict[int, tuple[Steps, socket.socket]] = {}

        def wait(steps: Steps, plain: socket.socket | None) -> None:
            if plain is not None:
                waiting[plain.fileno()] = steps, plain
                poller.register(plain, select.EPOLLIN)

        for _ in range(at_once):
            steps = one(latencies, go_on)
            wait(steps, next(steps, None))
        while waiting:
            for number, _ in poller.poll():
                steps, plain = waiting[number]
                following = next(steps, None)
                # What the client spends, the route that it measures lacks: a socket is registered once, and has left
                # the poller by itself once it is closed.
                if following is not plain:
                    del waiting[number]
                    wait(steps, following)
    return Rate(time.perf_counter() - start, tuple(latencies))


def download(entrance: Entrance, size: int) -> float:
    """Bytes a second of one large GET."""
    with tunnel(entrance) as plain:
        plain.sendall(_GET % (b"/%d" % size))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += plain.recv(1)
        start, left = time.perf_counter(), size
        while left:
            received = discard(plain, left)
            if not received:
                raise ConnectionError(f"the route ended a download {left} bytes before its end")
            left -= received
        return size / (time.perf_counter() - start)


def upload(entrance: Entrance, size: int) -> float:
    """Bytes a second of one large PUT, up to the answer that says that all of it has come."""
    file = zeros(_BLOCK)
    try:
        with tunnel(entrance) as plain:
            start, left = time.perf_counter(), size
            plain.sendall(b"PUT /%d HTTP/1.1\r\nHost: origin\r\n\r\n" % size)
            while left:
                left -= os.sendfile(plain.fileno(), file, 0, min(_BLOCK, left))
            _read_blocking(plain, _BODY)
            return size / (time.perf_counter() - start)
    finally:
        os.close(file)


def tunnel(entrance: Entrance) -> socket.socket:
    """An open tunnel, which the caller closes."""
    plain = _connect(entrance.port)
    if entrance.connect:
        plain.sendall(entrance.connect)
        _read_blocking(plain, b"\r\n\r\n")
    return plain


def _read_blocking(plain: socket.socket, end: bytes) -> None:
    steps = _until(plain, end)
    while next(steps, None) is not None:
        pass
