"""The server with raw bytes at its other end: what comes back, and whether the connection goes on."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import trio_test

from enclaver_runtime.enclave.http_server import HttpError, Limits, Request, Response, plain_text, serve_http
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import port_of, read_all, read_until

LIMITS = Limits(body=20)
HOST = b"Host: x\r\n"


class Server:
    """A running server, whose handler answers with what it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[tuple[bytes, bytes, bytes]] = []
        self.failures: list[str] = []

    async def handle(self, request: Request) -> Response:
        if request.target == b"/unread":
            return Response(204)
        if request.target == b"/refused":
            raise HttpError(403, "not you", headers=[(b"X-Why", b"because")])
        if request.target == b"/large":
            return Response(200, (), bytes(30_000_000))
        if request.target == b"/odd":
            return Response(599, [(b"X-A", b"b")], b"odd")
        body = await request.read()
        assert await request.read() is body
        self.seen.append((request.method, request.target, body))
        return Response(200, [(b"Content-Type", b"x/y")], b"got " + body)

    async def connect(self) -> trio.SocketStream:
        return await connect_tcp("127.0.0.1", self.port)

    async def ask(self, *pieces: bytes) -> str:
        """All that comes back for these bytes, until the server hangs up; the client ends its output last."""
        async with await self.connect() as client:
            for piece in pieces:
                await client.send_all(piece)
                await trio.testing.wait_all_tasks_blocked(0.001)
            await client.send_eof()
            return (await read_all(client)).decode()


@asynccontextmanager
async def server(limits: Limits = LIMITS) -> AsyncIterator[Server]:
    listener = listen_tcp("127.0.0.1", 0)
    one = Server(port_of(listener))
    async with trio.open_nursery() as nursery:
        await nursery.start(functools.partial(serve_http, listeners=[listener], handler=one.handle, limits=limits))
        with trio.fail_after(30):
            yield one
        nursery.cancel_scope.cancel()


def post(body: bytes, *headers: bytes, target: bytes = b"/") -> bytes:
    head = b"".join(b"%s\r\n" % one for one in (*headers, b"Content-Length: %d" % len(body)))
    return b"POST %s HTTP/1.1\r\n%s%s\r\n%s" % (target, HOST, head, body)


def chunked(body: bytes, size: int = 3) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"POST / HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % (HOST, chunks)


def statuses(answer: str) -> list[int]:
    return [int(one) for one in re.findall(r"HTTP/1\.1 (\d+) ", answer)]


@trio_test
async def test_one_request_after_the_other_on_one_connection() -> None:
    async with server() as one, await one.connect() as client:
        for body in (b"a", b"", b"b" * 20):
            await client.send_all(post(body))
            assert await read_until(client, b"\r\n\r\n") == (
                b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: %d\r\n\r\n" % (len(body) + 4)
            )
            assert await read_until(client, b"got " + body) == b"got " + body
        await client.send_eof()
        assert await read_all(client) == b""


@trio_test
async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    async with server() as one:
        answer = await one.ask(post(b"a") + chunked(b"bcdef") + post(b"g", target=b"/refused") + post(b"h"))
    assert statuses(answer) == [200, 200, 403, 200]
    assert [body for _, _, body in one.seen] == [b"a", b"bcdef", b"h"]
    assert answer.endswith("got h")


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.integers(1, 90), max_size=9))
def test_however_it_is_split_the_answers_are_the_same(sizes: list[int]) -> None:
    head = b"HEAD /h HTTP/1.1\r\n" + HOST + b"\r\n"
    data = post(b"a" * 20) + chunked(b"b" * 9) + head + post(b"", b"Connection: close")
    pieces = []
    for size in [*sizes, len(data)]:
        pieces.append(data[:size])
        data = data[size:]

    async def scenario() -> str:
        async with server() as one:
            return await one.ask(*filter(None, pieces))

    answer = trio.run(scenario)
    assert statuses(answer) == [200, 200, 200, 200]
    assert re.findall(r"Content-Length: (\d+)", answer) == ["24", "13", "4", "4"]
    assert answer.endswith("Connection: close\r\n\r\ngot ")


@trio_test
async def test_head_has_a_length_and_no_body() -> None:
    async with server() as one:
        answer = await one.ask(b"HEAD /refused HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert statuses(answer) == [403, 200]
    assert "not you" not in answer
    assert answer.endswith("Content-Length: 4\r\n\r\n")


@trio_test
async def test_a_client_that_expects_continue_is_told_when_the_body_is_wanted() -> None:
    async with server() as one, await one.connect() as client:
        head = post(b"body", b"Expect: 100-continue")[:-4]
        await client.send_all(head)
        assert await read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send_all(b"body")
        assert (await read_until(client, b"got body")).startswith(b"HTTP/1.1 200 OK")
        # One whose body is not wanted is not asked for it, and the connection ends: what follows would be a guess.
        await client.send_all(head.replace(b"POST /", b"POST /refused"))
        answer = await read_all(client)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Connection: close\r\n" in answer
    assert b"X-Why: because\r\n" in answer


@trio_test
async def test_an_unread_body_is_skipped_and_the_next_request_served() -> None:
    async with server() as one:
        answer = await one.ask(post(b"x" * 20, target=b"/unread") + post(b"next"))
        assert statuses(answer) == [204, 200]
        # One that is too long for that is the connection's last.
        answer = await one.ask(post(b"x" * 21, target=b"/unread") + post(b"next"))
        assert statuses(answer) == [204]
        assert "Connection: close" in answer


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (post(b"x" * 21), 413, "the request's body is longer than 20 bytes"),
        (post(b"x" * 21, b"Expect: 100-continue"), 413, "the request's body is longer than 20 bytes"),
        (chunked(b"x" * 21), 413, "the request's body is longer than 20 bytes"),
        (chunked(b"x" * 300_000, 1000), 413, "the request's body is longer than 20 bytes"),
        (b"nonsense\r\n\r\n", 400, "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host: header"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 200_000 + b"\r\n\r\n", 431, "the request's head is longer than 65536 bytes"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "Transfer-Encoding"),
        (chunked(b"abc").replace(b"3\r\nabc", b"z\r\nabc"), 400, "illegal chunk header"),
        (post(b"abc").replace(b"Length: 3", b"Length: x"), 400, "Content-Length"),
        (post(b"abcd")[:-1], 400, "peer closed connection without sending complete message body"),
        (b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501, "this is no proxy"),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else str(value),
)
@trio_test
async def test_what_is_wrong_is_said_and_ends_the_connection(data: bytes, status: int, text: str) -> None:
    async with server() as one:
        answer = await one.ask(data)
        assert statuses(answer) == [status]
        head, _, body = answer.partition("\r\n\r\n")
        assert "Connection: close" in head
        assert "Content-Type: text/plain; charset=us-ascii" in head
        assert text in body
        assert one.seen == []
        # The server goes on with others.
        assert statuses(await one.ask(post(b"x"))) == [200]


@trio_test
async def test_a_status_without_a_name_has_none() -> None:
    async with server() as one:
        assert (await one.ask(post(b"", target=b"/odd"))).startswith("HTTP/1.1 599 \r\nX-A: b\r\nContent-Length: 3\r\n")


@trio_test
async def test_old_clients_are_hung_up_on() -> None:
    async with server() as one:
        answer = await one.ask(b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
    assert "Connection: close" in answer
    assert answer.endswith("got x")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@trio_test
async def test_what_asks_for_another_protocol_gets_this_one(protocol: bytes) -> None:
    async with server() as one:
        assert statuses(await one.ask(post(b"x", b"Connection: Upgrade", b"Upgrade: " + protocol))) == [200]


@trio_test
async def test_a_body_that_does_not_come_is_waited_for_once() -> None:
    async with server(Limits(body=20, body_seconds=0.2)) as one, await one.connect() as client:
        await client.send_all(post(b"half of it")[:-5])
        with trio.fail_after(20):
            answer = await read_until(client, b"\n")
            rest = await read_until(client, b"0.2 s\n")
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout")
        assert rest.endswith(b"the request's body did not come within 0.2 s\n")


@pytest.mark.parametrize("drip", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
@trio_test
async def test_a_head_that_does_not_come_ends_the_connection(drip: bytes) -> None:
    async with server(Limits(body=20, head_seconds=0.2)) as one, await one.connect() as client:
        await client.send_all(drip)
        answer = await read_all(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"the request's head did not come within 0.2 s\n")


@trio_test
async def test_an_idle_connection_ends_without_a_word() -> None:
    async with server(Limits(body=20, head_seconds=0.2)) as one, await one.connect() as client:
        await client.send_all(post(b"x"))
        assert (await read_all(client)).endswith(b"got x")


@trio_test
async def test_a_client_that_does_not_read_is_dropped() -> None:
    async with server(Limits(body=20, send_seconds=0.2, connections=1)) as one, await one.connect() as client:
        await client.send_all(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        # There is room for one connection only, so another is served when this one is gone.
        served: list[int] = []
        while served != [200]:
            with suppress(trio.BrokenResourceError):
                served = statuses(await one.ask(post(b"x")))
        # It is a reset, and no end that could be taken for the response's.
        with pytest.raises(trio.BrokenResourceError):
            await read_all(client)


@trio_test
async def test_so_many_connections_at_once() -> None:
    async with server(Limits(body=20, connections=2)) as one:
        async with await one.connect() as first, await one.connect() as second:
            for client in (first, second):
                await client.send_all(post(b"x"))
                assert await read_until(client, b"got x")
            async with await one.connect() as third:
                assert await read_all(third) == b""
        assert statuses(await one.ask(post(b"x"))) == [200]


@trio_test
async def test_a_client_that_hangs_up_hurts_nobody() -> None:
    async with server() as one:
        for data in (b"", b"GET", post(b"abc")[:-1], post(b"abc")):
            client = await one.connect()
            await client.send_all(data)
            await trio.aclose_forcefully(client)
        assert statuses(await one.ask(post(b"x"))) == [200]


def test_a_line_of_text_is_one_line_of_ascii() -> None:
    answer = plain_text(400, "a\r\nSet-Cookie: \u20ac\x00 <b>", [(b"Allow", b"POST")])
    assert answer.body == b"a\\r\\nSet-Cookie: \\u20ac\\x00 <b>\n"
    assert (b"Allow", b"POST") in list(answer.headers)
    assert (b"X-Content-Type-Options", b"nosniff") in list(answer.headers)
