from __future__ import annotations

import h11
import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.enclave.http import HttpStream
from enclaver_runtime.enclave.upstreams import Upstreams, is_repeatable
from tests.unit.enclaver_runtime.net import read_all, read_until, serving, unix_pair
from tests.unit.enclaver_runtime.proxied import proxied

PLACE = ("a.example", 80)


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", [], True),
        ("HEAD", [("Content-Length", "0"), ("Authorization", "Bearer x")], True),
        ("PUT", [], False),
        ("POST", [], False),
        ("GET", [("Content-Length", "1")], False),
        ("GET", [("Transfer-Encoding", "chunked")], False),
        ("GET", [("Expect", "100-continue")], False),
        ("GET", [("Authorization", "Negotiate x")], False),
        ("GET", [("Authorization", "NTLM x")], False),
        ("GET", [("Connection", "Upgrade"), ("Upgrade", "websocket")], False),
    ],
)
def test_what_may_be_sent_twice(method: str, headers: list[tuple[str, str]], expected: bool) -> None:
    assert is_repeatable(h11.Request(method=method, target="/", headers=[("Host", "a"), *headers])) is expected


async def used(
    response: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
) -> tuple[HttpStream, trio.SocketStream]:
    """A connection on which a request has been answered, and its origin's side."""
    origin, near = unix_pair()
    upstream = HttpStream(near, h11.CLIENT)
    await upstream.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    await upstream.send(h11.EndOfMessage())
    await origin.send_all(response)
    while not isinstance(await upstream.next_event(), h11.EndOfMessage):
        pass
    return upstream, origin


@trio_test
async def test_a_complete_one_is_kept_for_its_place_alone() -> None:
    upstreams = Upstreams()
    upstream, origin = await used()
    async with origin, upstream.stream:
        assert upstreams.give_back(*PLACE, upstream)
        assert upstreams.take("b.example", 80) is None
        assert upstreams.take("a.example", 81) is None
        assert upstreams.take(*PLACE) is upstream
        assert not upstream.heard
        assert upstreams.take(*PLACE) is None


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["close", "HTTP/1.0", "more than was asked for"],
)
@trio_test
async def test_what_is_not_fit_is_not_kept(response: bytes) -> None:
    upstream, origin = await used(response)
    async with origin, upstream.stream:
        assert not Upstreams().give_back(*PLACE, upstream)


@pytest.mark.parametrize("stale", ["ended", "said more"])
@trio_test
async def test_one_that_has_gone_stale_is_closed_instead(stale: str) -> None:
    upstreams = Upstreams()
    upstream, origin = await used()
    async with origin:
        assert upstreams.give_back(*PLACE, upstream)
        await (origin.send_eof() if stale == "ended" else origin.send_all(b"HTTP/1.1 408 Too Late\r\n\r\n"))
        assert upstreams.take(*PLACE) is None
        assert upstream.stream.socket.fileno() == -1


@trio_test
async def test_the_longest_idle_makes_room() -> None:
    upstreams = Upstreams(most=1)
    (first, first_origin), (second, second_origin) = await used(), await used()
    async with first_origin, second_origin:
        assert upstreams.give_back(*PLACE, first)
        assert upstreams.give_back(*PLACE, second)
        assert (await read_all(first_origin)).startswith(b"GET")
        assert upstreams.take(*PLACE) is second
        second.close()


def test_none_is_kept_for_long_nor_after_the_end() -> None:
    async def main() -> None:
        upstreams = Upstreams(idle=8)
        (old, old_origin), (new, new_origin) = await used(), await used()
        async with old_origin, new_origin, trio.open_nursery() as nursery:
            nursery.start_soon(upstreams.serve)
            assert upstreams.give_back("old.example", 80, old)
            await trio.sleep(7)
            assert upstreams.give_back("new.example", 80, new)
            await trio.sleep(3.5)
            assert old.stream.socket.fileno() == -1
            assert new.stream.socket.fileno() != -1
            nursery.cancel_scope.cancel()
        assert new.stream.socket.fileno() == -1

    trio.run(main, clock=MockClock(autojump_threshold=0))


class Origin:
    """Answers so many requests a connection, then hangs up; counts connections and keeps request lines."""

    def __init__(self, most: int = 1000, *, hang_up_on: bytes = b"none") -> None:
        self._most = most
        self._hang_up_on = hang_up_on
        self.connections = 0
        self.asked: list[bytes] = []

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        for number in range(self._most):
            head = await read_until(stream, b"\r\n\r\n")
            if not head or (number and self._hang_up_on in head):
                return
            if b"Content-Length: 4" in head:
                await read_until(stream, b"body")
            self.asked.append(head.split(b" HTTP")[0])
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await stream.send_all(b"" if head.startswith(b"HEAD") else b"ok")


async def ask(port: int, *requests: str) -> bytes:
    """All of the answers to requests, one after the other, on one connection."""
    answers = b""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        for request in requests:
            await stream.send_all(request.encode())
            end = b"\r\n\r\n" if request.startswith("HEAD") else b"ok"
            answers += await read_until(stream, end)
    return answers


def request(method: str, port: int, rest: str = "\r\n") -> str:
    return f"{method} http://host:{port}/ HTTP/1.1\r\nHost: x\r\n{rest}"


@trio_test
async def test_pages_of_one_place_come_over_one_connection_whoever_asks() -> None:
    origin = Origin()
    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        for _ in range(2):
            answer = await ask(proxy.port, request("GET", port), request("HEAD", port), request("GET", port))
            assert answer.count(b"200 OK") == 3
    assert origin.connections == 1
    assert origin.asked == [b"GET /", b"HEAD /", b"GET /"] * 2


@trio_test
async def test_what_may_not_be_sent_twice_has_its_own_connection() -> None:
    origin = Origin()
    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        post = request("POST", port, "Content-Length: 4\r\n\r\nbody")
        answer = await ask(proxy.port, request("GET", port), post, request("GET", port))
    assert answer.count(b"200 OK") == 3
    assert origin.connections == 2


@trio_test
async def test_a_request_that_met_a_hang_up_is_sent_once_more() -> None:
    origin = Origin(hang_up_on=b"GET")
    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        answer = await ask(proxy.port, *[request("GET", port)] * 4)
    assert answer.count(b"200 OK") == 4
    assert origin.connections == 4


@trio_test
async def test_an_origin_that_hangs_up_on_every_request_is_not_asked_for_ever() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await read_until(stream, b"\r\n\r\n")

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        stream = await trio.open_tcp_stream("127.0.0.1", proxy.port)
        async with stream:
            await stream.send_all(request("GET", port).encode())
            assert (await read_until(stream, b"\r\n")).startswith(b"HTTP/1.1 502 ")


@trio_test
async def test_the_policy_decides_each_request_though_the_connection_is_there() -> None:
    origin = Origin()
    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        assert b"200 OK" in await ask(proxy.port, request("GET", port))
        stream = await trio.open_tcp_stream("127.0.0.1", proxy.port)
        async with stream:
            await stream.send_all(request("GET", port).replace("http://host:", "http://127.0.0.1:").encode())
            assert b"401 blocked" in await read_until(stream, b"\r\n")
    assert len(origin.asked) == 1
