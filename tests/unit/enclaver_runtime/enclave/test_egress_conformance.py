"""What RFC 9110 and 9112 ask of a proxy, byte by byte: only sockets, whatever is behind them.

``PORT`` in what is sent stands for the origin's port. Each refused request is followed by another one that
would reach the origin if anything of the first were taken for its beginning.
"""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import trio_test

from enclaver_runtime.enclave.egress import serve_proxy
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.parent.egress import serve_egress
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.connect import MAX_HEAD
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import listen_tcp
from enclaver_runtime.transport.relay import visits
from tests.unit.enclaver_runtime.net import port_of, read_all, read_until, reply, serving
from tests.unit.enclaver_runtime.proxied import Proxied, proxied

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET http://host:PORT/ HTTP/1.1\r\nHost: x\r\n"
POST = b"POST http://host:PORT/ HTTP/1.1\r\nHost: x\r\n"
NEXT = b"GET http://host:PORT/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Site:
    """A proxy, and behind it an origin that answers every connection's request with the same bytes."""

    def __init__(self, proxy: Proxied, port: int, seen: list[bytes]) -> None:
        self.proxy = proxy
        self.seen = seen
        self._port = b"%d" % port

    def filled_in(self, data: bytes) -> bytes:
        """The same with the origin's port in place."""
        return data.replace(b"PORT", self._port)

    async def ask(self, *pieces: bytes, end: bool = False) -> bytes:
        """All that comes back for ``pieces``, each sent when nobody has anything left to do with those before."""
        async with await self.proxy.connect() as client, trio.open_nursery() as nursery:
            nursery.start_soon(self._send, client, pieces, end)
            return (await read_all(client)).replace(self._port, b"PORT")

    async def _send(self, client: trio.SocketStream, pieces: Sequence[bytes], end: bool) -> None:
        for piece in pieces:
            try:
                await client.send_all(self.filled_in(piece))
            except trio.BrokenResourceError:
                return
            await trio.testing.wait_all_tasks_blocked()
        if end:
            await client.send_eof()


@asynccontextmanager
async def site(answer: bytes = OK) -> AsyncIterator[Site]:
    seen: list[bytes] = []

    async def origin(stream: trio.SocketStream) -> None:
        head = await read_until(stream, b"\r\n\r\n")
        number = len(seen)
        seen.append(head)
        seen[number] += await read_body(stream, head)
        seen[number] = seen[number].replace(b"%d" % port, b"PORT")
        await stream.send_all(answer)

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        yield Site(proxy, port, seen)


async def read_body(stream: trio.SocketStream, head: bytes) -> bytes:
    """A request's body as it is on the wire, or as much as comes of it."""
    if found := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
        return await read_exactly(stream, int(found[1]))
    body = b""
    if b"chunked" in head:
        line = await read_until(stream, b"\r\n")
        while size := int(line or b"0", 16):
            body += line + await read_exactly(stream, size + 2)
            line = await read_until(stream, b"\r\n")
        body += line
        while len(line) > 2:
            body += (line := await read_until(stream, b"\r\n"))
    return body


async def read_exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := await stream.receive_some(size - len(data))):
        data += piece
    return data


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def short(value: object) -> str:
    """What stands for a parameter in a test's name."""
    return repr(value)[:70]


@pytest.mark.parametrize(
    ("status", "request_bytes"),
    [
        # Which of two lengths is the right one, nobody can say (RFC 9112, 6.1 and 6.3).
        (400, POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        (400, POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody"),
        (400, POST + b"Content-Length: 4, 5\r\n\r\nbody"),
        (400, POST + b"Content-Length: +4\r\n\r\nbody"),
        (400, POST + b"Content-Length: 4.0\r\n\r\nbody"),
        (400, POST + b"Content-Length: 0x4\r\n\r\nbody"),
        (400, POST + b"Content-Length: -1\r\n\r\nbody"),
        (400, POST + b"Content-Length:\r\n\r\nbody"),
        (400, POST + b"Content-Length: " + b"1" * 30 + b"\r\n\r\nbody"),
        (400, POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        # What is no chunked body after all, or not that alone (RFC 9112, 6.1).
        (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: identity\r\n\r\n"),
        (400, POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
        # Lines that readers cut up differently (RFC 9112, 2.2 and 5.1).
        (400, POST + b"Content-Length : 4\r\n\r\nbody"),
        (400, POST + b" Content-Length: 4\r\n\r\nbody".replace(b" C", b"\tC", 1).replace(b"\t", b"\x0b")),
        (400, GET + b"A: b\rContent-Length: 4\r\n\r\nbody"),
        (400, GET + b"A: b\0c\r\n\r\n"),
        (400, GET + b"A\0: b\r\n\r\n"),
        (400, GET + b": b\r\n\r\n"),
        (400, GET + b"no colon\r\n\r\n"),
        (400, b"GET http://host:PORT/ HTTP/1.1\r\n folded: x\r\nHost: x\r\n\r\n"),
        # Whom the request is for must be said once (RFC 9112, 3.2).
        (400, GET + b"Host: y\r\n\r\n"),
        (400, b"GET http://host:PORT/ HTTP/1.1\r\n\r\n"),
        (400, b"CONNECT host:PORT HTTP/1.1\r\n\r\n"),
        # Request lines.
        (400, b"GET  http://host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET\thttp://host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT/ HTTP/1.1 \r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT/a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT/\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT/ http/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT/\r\n\r\n"),
        (400, b" GET http://host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"G(T http://host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"connect host:PORT HTTP/1.1\r\nHost: x\r\n\r\n"),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (505, b"GET http://host:PORT/ HTTP/2.0\r\nHost: x\r\n\r\n"),
        (505, b"GET http://host:PORT/ HTTP/0.9\r\nHost: x\r\n\r\n"),
        # A tunnel's request has no body (RFC 9110, 9.3.6): is this one, or the tunnel's first bytes?
        (400, b"CONNECT host:PORT HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"),
        (400, b"CONNECT host:PORT HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        # Targets; protocol/test_connect.py has the rest of them.
        (400, b"GET http://host:PORT@host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"CONNECT user:secret@host:PORT HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT:80/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://host:PORT#a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET //host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"CONNECT http://host:PORT HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"CONNECT host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"CONNECT host:PORT, HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"OPTIONS * HTTP/1.1\r\nHost: host:PORT\r\n\r\n"),
        # Longer than anybody's (RFC 6585, 5).
        (431, b"GET http://host:PORT/" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (431, b"GET http://host:PORT/" + b"a" * 3 * MAX_HEAD),
        (431, GET + b"A: " + b"a" * MAX_HEAD + b"\r\n\r\n"),
        (431, GET + b"A: " + b"a" * 3 * MAX_HEAD),
        (431, GET + b"A: a\r\n" * 40_000 + b"\r\n"),
        # An empty line before the first: nobody has sent that for long (RFC 9112, 2.2 would ignore it).
        (400, b"\r\n" + GET + b"\r\n"),
    ],
    ids=short,
)
@trio_test
async def test_what_is_ambiguous_or_malformed_is_refused_and_ends_the_connection(
    status: int, request_bytes: bytes
) -> None:
    async with site() as origin:
        answer = await origin.ask(request_bytes + NEXT, end=True)
        assert statuses(answer) == [status]
        assert b"\r\nConnection: close\r\n" in answer
        assert origin.seen == []
        # It has an effect on nobody else.
        assert statuses(await origin.ask(NEXT)) == [200]


@pytest.mark.parametrize(
    "body",
    [
        *(b"z\r\n", b"4 4\r\nbody\r\n", b"-4\r\nbody\r\n", b"0x4\r\nbody\r\n", b" 4\r\nbody\r\n"),
        *(b"4\nbody\r\n0\r\n\r\n", b"4\r\nbodyX\r\n0\r\n\r\n", b"4\r\nbody\n0\r\n\r\n", b"1" * 30 + b"\r\nbody"),
        b"4\r\nbody\r\n0\r\nno colon\r\n\r\n",
        *(b"4;" + b"a" * 3 * MAX_HEAD, b"0\r\nA: " + b"a" * 3 * MAX_HEAD, b"\r\n"),
    ],
    ids=short,
)
@trio_test
async def test_malformed_chunks_end_the_connection_and_are_no_next_request(body: bytes) -> None:
    async with site() as origin:
        answer = await origin.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + NEXT, end=True)
        assert statuses(answer) in ([400], [431])
        assert all(b"/next" not in seen for seen in origin.seen)


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        # The target decides, in its one spelling; Host has no say.
        (
            b"GET http://HOST.:PORT HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: host:PORT\r\n\r\n",
        ),
        # What the last hop said to this one stays here, whatever it names (RFC 9110, 7.6.1).
        (
            GET + b"Connection: X-Mine, keep-alive\r\nx-mine: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
            b"Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: host:PORT\r\nAccept: */*\r\n\r\n",
        ),
        # But nothing that says where the message ends, or whom it is for.
        (
            POST + b"Connection: Content-Length, Host\r\nContent-Length: 2\r\n\r\nhi",
            b"POST / HTTP/1.1\r\nHost: host:PORT\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        ),
        # Equal lengths are one (RFC 9110, 8.6).
        (
            POST + b"Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi",
            b"POST / HTTP/1.1\r\nHost: host:PORT\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        ),
        # One form goes out, whatever came in: line ends, folds, white space, chunk extensions, case of the coding.
        (
            b"POST http://host:PORT/ HTTP/1.1\nHost: x\nA:\tb\r\n  c \nTransfer-Encoding: CHUNKED\r\n\r\n"
            b"2;x=y\r\nhi\r\n00\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: host:PORT\r\nA: b c\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"2\r\nhi\r\n0\r\n\r\n",
        ),
        # Trailers are passed on, but for those that are the hop's, or would change what the head said.
        (
            POST + b"Connection: X-Mine\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nT: v\r\nX-Mine: 1\r\nContent-Length: 5\r\nHost: y\r\nConnection: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: host:PORT\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n0\r\nT: v\r\n\r\n",
        ),
        # Upgrades: a WebSocket's, and no other; RFC 9110, 7.8 has none in HTTP/1.0.
        (
            GET + b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: host:PORT\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n",
        ),
        (
            GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: host:PORT\r\n\r\n",
        ),
        (
            GET.replace(b"1.1", b"1.0") + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: host:PORT\r\n\r\n",
        ),
        (
            POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: host:PORT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        # RFC 9112, 3.2.4: the server itself is asked, or something on it.
        (
            b"OPTIONS http://host:PORT HTTP/1.1\r\nHost: x\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: host:PORT\r\nConnection: close\r\n\r\n",
        ),
        (
            b"OPTIONS http://host:PORT/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 10\r\n\r\n",
            b"OPTIONS / HTTP/1.1\r\nHost: host:PORT\r\nMax-Forwards: 9\r\nConnection: close\r\n\r\n",
        ),
        # RFC 9110, 7.6.2: of other methods, and not a number, it is ignored.
        (
            GET + b"Max-Forwards: 0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: host:PORT\r\nMax-Forwards: 0\r\n\r\n",
        ),
        # Methods are the app's affair, and case is part of them.
        (
            b"PROPFIND http://host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"PROPFIND / HTTP/1.1\r\nHost: host:PORT\r\nConnection: close\r\n\r\n",
        ),
        (
            b"get http://host:PORT/ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: host:PORT\r\nConnection: close\r\n\r\n",
        ),
        # The bytes of path and query are nobody's but the origin's.
        (
            b"GET http://host:PORT//a/../%2e;b?c=http://d@e:f/? HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET //a/../%2e;b?c=http://d@e:f/? HTTP/1.1\r\nHost: host:PORT\r\n\r\n",
        ),
        (
            b"GET http://host:PORT?q HTTP/1.0\r\n\r\n",
            b"GET /?q HTTP/1.1\r\nHost: host:PORT\r\n\r\n",
        ),
    ],
    ids=short,
)
@trio_test
async def test_one_form_of_each_request_reaches_the_origin(request_bytes: bytes, expected: bytes) -> None:
    async with site() as origin:
        answer = await origin.ask(request_bytes, end=True)
    assert origin.seen == [expected]
    assert statuses(answer) == [200]


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@trio_test
async def test_a_request_that_may_go_no_further_does_not(method: bytes) -> None:
    async with site() as origin:
        answer = await origin.ask(method + b" http://host:PORT/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n" + NEXT)
    assert statuses(answer) == [501, 200]
    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    ("request_bytes", "answer", "expected"),
    [
        (GET, OK, OK),
        # What has no body has none, and says nothing of one (RFC 9110, 8.6; RFC 9112, 6.1 and 6.3).
        (
            GET,
            b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nETag: e\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nETag: e\r\n\r\n",
        ),
        (
            GET,
            b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            GET,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            GET.replace(b"GET", b"HEAD"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            GET,
            b"HTTP/1.1 103 Early Hints\r\nLink: l\r\nConnection: Link2\r\nLink2: x\r\nContent-Length: 5\r\n\r\n" + OK,
            b"HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n" + OK,
        ),
        # One form of the framing.
        (
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: Chunked\r\n\r\n2;x\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok and too much",
            OK,
        ),
        (
            GET,
            b"HTTP/1.1 200 OK\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (
            GET,
            b"HTTP/1.1 200 OK\r\nConnection: T\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nS: v\r\nT: v\r\nKeep-Alive: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nS: v\r\n\r\n",
        ),
        # The origin's hop is not the client's.
        (
            GET,
            b"HTTP/1.1 200 OK\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: x\r\nUpgrade: h2c\r\n"
            b"Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n"
            b"Content-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok",
        ),
        # A redirect is the client's to follow: its next request is decided like any other.
        (
            GET,
            b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n",
        ),
        (GET, b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=short,
)
@trio_test
async def test_one_form_of_each_response_reaches_the_client(
    request_bytes: bytes, answer: bytes, expected: bytes
) -> None:
    async with site(answer) as origin:
        got = await origin.ask(request_bytes + b"\r\n" + NEXT.replace(b"host:PORT/next", b"other.example/"))
    # The connection is good for another request.
    assert got.partition(b"HTTP/1.1 401 ")[0] == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n", b"\r\n\r\nok"),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, b"\r\n\r\nok"),
    ],
    ids=short,
)
@trio_test
async def test_old_clients_get_what_they_can_read(answer: bytes, expected: bytes) -> None:
    async with site(answer) as origin:
        got = await origin.ask(GET.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n")
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"Transfer-Encoding" not in got
    assert b"\r\nConnection: close\r\n" in got
    assert got.endswith(expected)


@pytest.mark.parametrize(
    "answer",
    [
        *(b"HTTP/2.0 200 OK\r\n\r\n"[5:], b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 200OK\r\n\r\n"),
        *(b"\x15\x03\x01\x00\x02\x02\x28", b"<html>", b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",),
        *(b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",),
        *(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",),
        *(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",),
        *(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 3 * MAX_HEAD,),
    ],
    ids=short,
)
@trio_test
async def test_what_is_no_response_is_a_bad_gateway_and_not_passed_on(answer: bytes) -> None:
    async with site(answer) as origin:
        assert statuses(await origin.ask(GET + b"\r\n")) == [502]


@trio_test
async def test_heads_have_one_limit_however_they_come() -> None:
    async with site() as origin:
        for size, status in ((MAX_HEAD - 100, 200), (MAX_HEAD + 100, 431)):
            head = GET + b"Connection: close\r\nA: "
            head += b"a" * (size - len(head) - 4) + b"\r\n\r\n"
            pieces = [head[at : at + 5000] for at in range(0, len(head), 5000)]
            # At once, in pieces, and behind another request.
            assert statuses(await origin.ask(head)) == [status]
            assert statuses(await origin.ask(*pieces)) == [status]
            assert statuses(await origin.ask(GET + b"\r\n" + head)) == [200, status]


CONNECT = b"CONNECT host:PORT HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = (
    POST + b"Content-Length: 3\r\n\r\nabc" + POST + b"Transfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"
    b"GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"\r\n" + CONNECT + b"GET /raw\r\n\r\n"
)


def without_chunks(data: bytes) -> bytes:
    """The same, without what depends on how many reads the body came in."""
    head, marker, body = data.partition(b"chunked\r\nConnection: close\r\n\r\n")
    return head + marker + re.sub(rb"[0-9a-f]+\r\n([a-z]*)\r\n", rb"\1", body) if marker else data


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, len(STREAM) - 1), max_size=8, unique=True).map(sorted))
def test_requests_are_the_same_however_they_are_split(cuts: list[int]) -> None:
    async def scenario() -> None:
        async with site() as origin:
            stream = origin.filled_in(STREAM)
            pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            answer = await origin.ask(*pieces, end=True)
            assert statuses(answer) == [200, 200, 401, 200, 200, 200]
            assert answer.endswith(b"HTTP/1.1 200 Connection established\r\n\r\n" + OK)
            assert [without_chunks(seen) for seen in origin.seen] == [
                b"POST / HTTP/1.1\r\nHost: host:PORT\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
                b"POST / HTTP/1.1\r\nHost: host:PORT\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                b"abcde0\r\nT: v\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: host:PORT\r\n\r\n",
                b"GET /raw\r\n\r\n",
            ]

    trio.run(scenario)


@pytest.mark.parametrize("express", [True, False])
@trio_test
async def test_a_parent_that_comes_back_is_found_again(tmp_path: Path, express: bool) -> None:
    path, policy = str(tmp_path / "vm"), Policy(allow=["host"])

    async def open_parent(cid: int, port: int) -> trio.SocketStream:
        if cid != 2:
            await trio.sleep_forever()
        return await trio.open_unix_socket(f"{path}_{port}")

    def begin(_cid: int, port: int) -> socket.socket:
        return visits.begin(socket.AF_UNIX, f"{path}_{port}")

    link = ParentLink(open_parent, begin=begin if express else None)
    listener = listen_tcp("127.0.0.1", 0)
    proxy = Proxied(port_of(listener), [])
    seen: list[bytes] = []

    async def origin(stream: trio.SocketStream) -> None:
        seen.append(await reply(stream, OK))

    @asynccontextmanager
    async def parent() -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            run = partial(
                serve_egress, listener=vsock.listen_hybrid(path, frames.PORT), policy=policy, tell=proxy.told.append
            )
            await nursery.start(run)
            yield
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery, serving(origin) as port:
        run = partial(serve_proxy, listeners=[listener], policy=policy, link=link, tell=proxy.told.append)
        await nursery.start(run)
        there = Site(proxy, port, seen)
        with trio.fail_after(30):
            for _ in range(2):
                async with parent(), await proxy.connect() as tunnel:
                    await tunnel.send_all(there.filled_in(CONNECT))
                    assert await read_until(tunnel, b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
                    # This one is of another method, so that no connection is kept for the next round.
                    assert statuses(await there.ask(NEXT.replace(b"GET", b"PUT"))) == [200]
                for request in (CONNECT, NEXT):
                    answer = await there.ask(request)
                    assert statuses(answer) == [503]
                    assert b"the parent's egress service cannot be reached: " in answer
        nursery.cancel_scope.cancel()
