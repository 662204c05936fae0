"""The proxy with a real parent's side behind it, and scripted clients and origins around both."""

from __future__ import annotations

import re
import socket

import pytest
import trio
from trio.testing import trio_test

from tests.unit.enclaver_runtime.net import read_all, read_until, reply, serving
from tests.unit.enclaver_runtime.proxied import Proxied, proxied

BLOCKED = "blocked by egress security policy"


async def ask(proxy: Proxied, data: str) -> str:
    """Everything that comes back for ``data``, up to the end of the connection."""
    async with await proxy.connect() as client:
        await client.send_all(data.encode())
        return (await read_all(client)).decode()


def response(body: str, head: str = "HTTP/1.1 200 OK\r\n") -> bytes:
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def chunked(body: str, size: int = 3) -> str:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces) + "0\r\n\r\n"


both_ways = pytest.mark.parametrize("express", [True, False], ids=["short way", "long way"])


@both_ways
@trio_test
async def test_a_tunnel_carries_whatever_either_side_says_first(express: bool) -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 hello\n")
        await stream.send_all((await read_all(stream)).upper())

    async with (
        serving(origin) as port,
        proxied(allow=["host"], express=express) as proxy,
        await proxy.connect() as client,
    ):
        # The client's first bytes come together with its request.
        await client.send_all(f"CONNECT host:{port} HTTP/1.1\r\nHost: other.example\r\n\r\nearly ".encode())
        assert await read_until(client, b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        await client.send_all(b"late")
        await client.send_eof()
        assert await read_all(client) == b"220 hello\nEARLY LATE"
    assert proxy.told == []


@trio_test
async def test_requests_of_one_connection_are_answered_in_turn_though_they_come_at_once() -> None:
    heads: list[bytes] = []

    async def origin(stream: trio.SocketStream) -> None:
        heads.append(await reply(stream, response(f"answer {len(heads)}")))

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        get = f"GET http://host:{port}/x?y HTTP/1.1\r\nHost: evil.example\r\nConnection: keep-alive\r\n\r\n"
        denied = "GET http://other.example/ HTTP/1.1\r\nHost: host\r\n\r\n"
        last = f"GET http://HOST:{port} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await ask(proxy, get + denied + last)
    assert re.findall(r"HTTP/1.1 (\d+)", answer) == ["200", "401", "200"]
    assert "answer 0HTTP/1.1 401 " + BLOCKED in answer
    assert answer.endswith("answer 1")
    assert heads == [
        f"GET /x?y HTTP/1.1\r\nHost: host:{port}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: host:{port}\r\n\r\n".encode(),
    ]


@trio_test
async def test_chunked_bodies_both_ways() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        head = await read_until(stream, b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        body = await read_until(stream, b"0\r\n\r\n")
        assert "".join(re.findall(r"\r\n([a-z]+)\r\n", "\r\n" + body.decode())) == "abcdefgh"
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("ijklmn").encode())

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        head = f"POST http://host:{port}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        answer = await ask(proxy, head + "Connection: close\r\n\r\n" + chunked("abcdefgh"))
    assert "".join(re.findall(r"\r\n([a-z]+)(?=\r\n)", answer)) == "ijklmn"
    assert answer.endswith("0\r\n\r\n")


@trio_test
async def test_a_client_that_expects_to_be_asked_for_its_body_is() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        head = await reply(stream, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert b"Expect: 100-continue" in head
        assert await read_until(stream, b"body") == b"body"
        await stream.send_all(response("thanks"))

    async with serving(origin) as port, proxied(allow=["host"]) as proxy, await proxy.connect() as client:
        head = f"PUT http://host:{port}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        await client.send_all(head.encode())
        assert b"103 Early Hints\r\nLink: x" in await read_until(client, b"\r\n\r\n")
        assert await read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send_all(b"body")
        assert (await read_until(client, b"thanks")).startswith(b"HTTP/1.1 200 OK")


@trio_test
async def test_a_final_answer_instead_of_continue_ends_the_connection() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await reply(stream, response("too much", "HTTP/1.1 413 Content Too Large\r\n"))

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        head = f"PUT http://host:{port}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
        async with await proxy.connect() as client:
            await client.send_all(head.encode())
            assert (await read_all(client)).endswith(b"too much")
        async with await proxy.connect() as client:
            # The same for one that sends its body all the same, and much of it.
            await client.send_all(head.replace("Expect: 100-continue\r\n", "").replace("th: 9", "th: 9999999").encode())
            await client.send_all(bytes(300_000))
            assert (await read_all(client)).endswith(b"too much")


@trio_test
async def test_head_and_what_has_no_body() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        head = await read_until(stream, b"\r\n\r\n")
        status = "204 No Content" if head.startswith(b"DELETE") else "200 OK\r\nContent-Length: 1000"
        await stream.send_all(f"HTTP/1.1 {status}\r\n\r\n".encode())

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        head = f"HEAD http://host:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n"
        delete = f"DELETE http://host:{port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        denied = "HEAD http://other.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await ask(proxy, head + delete + head + denied)
    assert re.findall(r"HTTP/1.1 (\d+)", answer) == ["200", "204", "200", "401"]
    assert answer.count("Content-Length: 1000") == 2
    assert answer.endswith("\r\n\r\n")


@trio_test
async def test_old_clients_and_bodies_that_end_with_the_connection() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await reply(stream, b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\n\r\nall of it")

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        old = await ask(proxy, f"GET http://host:{port}/ HTTP/1.0\r\n\r\n")
        assert old == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it"
        new = await ask(proxy, f"GET http://host:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert new.endswith("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nall of it\r\n0\r\n\r\n")
        assert "103" not in old
        assert "103" in new


@trio_test
async def test_a_websocket_takes_over_the_connection() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        head = await read_until(stream, b"\r\n\r\n")
        assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst "
        )
        await stream.send_all((await read_all(stream)).upper())

    async with serving(origin) as port, proxied(allow=["host"]) as proxy, await proxy.connect() as client:
        head = f"GET ws://host:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly "
        await client.send_all(head.encode())
        assert (await read_until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await client.send_all(b"late")
        await client.send_eof()
        assert await read_all(client) == b"first EARLY LATE"


@pytest.mark.parametrize(
    ("request_line", "status", "reason"),
    [
        ("CONNECT host", 400, "a port is missing"),
        ("CONNECT user@host:80", 400, "no user name"),
        ("GET /", 400, "this is a proxy"),
        ("GET https://host/", 400, "use CONNECT"),
        ("GET http://0x7f.1/", 401, f"{BLOCKED}: '0x7f.1' is no IPv4 address"),
        ("CONNECT 2130706433:80", 401, f"{BLOCKED}: '2130706433' is no IPv4 address"),
        ("CONNECT denied.example:443", 401, f"{BLOCKED}: egress.deny has denied.example"),
        ("CONNECT other.test:443", 401, f"{BLOCKED}: nothing in egress.allow covers other.test port 443"),
        ("CONNECT localhost:443", 401, f"{BLOCKED}: localhost is "),
        ("CONNECT host:1", 503, "127.0.0.1 port 1: Connection refused"),
        ("nonsense", 400, "illegal request line"),
    ],
)
@both_ways
@trio_test
async def test_refusals_say_why(express: bool, request_line: str, status: int, reason: str) -> None:
    allow = ["host", "localhost", "**.example"]
    async with proxied(allow=allow, deny=["denied.example"], express=express) as proxy:
        # Connection makes a request a case for the long way.
        close = "" if express and request_line.startswith("CONNECT") else "Connection: close\r\n"
        answer = await ask(proxy, f"{request_line} HTTP/1.1\r\nHost: x\r\n{close}\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert reason in answer.splitlines()[0]
    assert reason in answer.splitlines()[-1]
    assert "Connection: close" in answer
    assert bool(proxy.told) is (status == 401)


@both_ways
@trio_test
async def test_the_parents_refusal_is_a_refusal(express: bool) -> None:
    async with proxied(allow=["host"], parent_allow=["**"], express=express) as proxy:
        answer = await ask(proxy, "CONNECT host:80 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 401 {BLOCKED}: nothing in egress.allow covers host port 80")
    assert [line.split(":")[0] for line in proxy.told] == ["egress", "egress"]


@trio_test
async def test_a_refused_request_with_a_body_ends_the_connection() -> None:
    async with proxied(allow=["host"]) as proxy:
        post = "POST http://other.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n"
        answer = await ask(proxy, post + "GET http://other.test/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count("HTTP/1.1 ") == 1


@trio_test
async def test_too_large_a_head_is_refused() -> None:
    async with proxied(allow=["host"]) as proxy:
        answer = await ask(proxy, "GET http://host/ HTTP/1.1\r\nHost: x\r\nA: " + "a" * 200_000 + "\r\n\r\n")
    assert answer.startswith("HTTP/1.1 431 ")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000])
@trio_test
async def test_an_origin_without_a_valid_response_is_a_bad_gateway(answer: bytes) -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await reply(stream, answer)

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        got = await ask(proxy, f"GET http://host:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.startswith("HTTP/1.1 502 the origin sent no valid response: ")


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz"],
)
@trio_test
async def test_a_response_that_is_cut_off_is_not_taken_for_complete(answer: bytes) -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await reply(stream, answer)

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        with pytest.raises(trio.BrokenResourceError):
            await ask(proxy, f"GET http://host:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n")


@trio_test
async def test_a_body_that_is_malformed_is_refused_when_nothing_was_answered() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await read_all(stream)

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        head = f"POST http://host:{port}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await ask(proxy, head + "z\r\n")).startswith("HTTP/1.1 400 ")


@trio_test
async def test_a_client_that_goes_away_ends_its_request() -> None:
    gone = trio.Event()

    async def origin(stream: trio.SocketStream) -> None:
        await read_until(stream, b"\r\n\r\n")
        await read_all(stream)
        gone.set()

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        async with await proxy.connect() as client:
            await client.send_all(f"GET http://host:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await trio.sleep(0.05)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await gone.wait()


@trio_test
async def test_idle_clients_are_hung_up_on() -> None:
    async with proxied(allow=["host"], idle_timeout=0.05) as proxy:
        assert await ask(proxy, "GET http://ho") == ""


@trio_test
async def test_the_proxy_outlives_what_is_thrown_at_it() -> None:
    async def origin(stream: trio.SocketStream) -> None:
        await reply(stream, response("fine"))

    async with serving(origin) as port, proxied(allow=["host"]) as proxy:
        for data in (b"", b"\r\n", b"\0" * 100, b"GET", b"GET http://host HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02"):
            async with await proxy.connect() as client:
                await client.send_all(data)
                await client.send_eof()
                await read_all(client)
        answer = await ask(proxy, f"GET http://host:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.endswith("fine")
