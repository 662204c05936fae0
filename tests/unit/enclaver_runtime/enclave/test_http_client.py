from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave.http_client import HttpClient, HttpClientError, Incoming, Outgoing
from tests.unit.enclaver_runtime.net import read_until, unix_pair

GET = Outgoing("GET", "/x", [(b"Host", b"h")])
POST = Outgoing("POST", "/", [(b"Host", b"h"), (b"X-A", b"b")], b"body")


@asynccontextmanager
async def answering(*responses: bytes, end: bool = False) -> AsyncIterator[tuple[HttpClient, list[bytes]]]:
    """A client and the heads that its server has read, each answered by the next of ``responses``."""
    left, right = unix_pair()
    heads: list[bytes] = []

    async def serve() -> None:
        for response in responses:
            heads.append(await read_until(right, b"\r\n\r\n"))
            await right.send_all(response)
        if end:
            await right.send_eof()

    async with left, right, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.fail_after(30):
            yield HttpClient(left), heads
        nursery.cancel_scope.cancel()


@trio_test
async def test_requests_follow_each_other_on_one_connection() -> None:
    first = b"HTTP/1.1 200 OK\r\nX-B: c\r\nContent-Length: 2\r\n\r\nhi"
    second = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    async with answering(first, second) as (client, heads):
        assert await client.exchange(GET, max_body=2) == Incoming(
            200, [(b"x-b", b"c"), (b"content-length", b"2")], b"hi"
        )
        assert client.is_reusable
        assert await client.exchange(GET, max_body=2) == Incoming(404, [(b"transfer-encoding", b"chunked")], b"ab")
    assert heads == [b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"] * 2


@trio_test
async def test_a_body_goes_with_its_length() -> None:
    async with answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall", end=True) as (
        client,
        heads,
    ):
        assert (await client.exchange(POST, max_body=10)).body == b"all"
        assert not client.is_reusable
    assert heads == [b"POST / HTTP/1.1\r\nHost: h\r\nX-A: b\r\nContent-Length: 4\r\n\r\n"]


@trio_test
async def test_an_empty_body_has_a_length_too() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (client, heads):
        await client.exchange(Outgoing("PUT", "/", [(b"Host", b"h")], b""), max_body=1)
    assert heads == [b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (b"", "it has hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "it sent no valid response"),
        (b"SSH-2.0-x\r\n\r\n", "it sent no valid response"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 11, "its response is longer than 10 bytes"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", "it sent no valid response"),
    ],
    ids=["nothing", "half", "another protocol", "much", "a long head"],
)
def test_what_is_no_response_is_one_error(response: bytes, why: str) -> None:
    async def main() -> None:
        async with answering(response, end=True) as (client, _):
            with pytest.raises(HttpClientError, match=why):
                await client.exchange(GET, max_body=10)

    trio.run(main)


@trio_test
async def test_a_server_that_has_gone_is_one_error() -> None:
    left, right = unix_pair()
    async with left:
        await right.aclose()
        with pytest.raises(HttpClientError, match="it has broken off the connection"):
            await HttpClient(left).exchange(POST, max_body=10)
