"""The exchange by itself: what the proxy's own tests cannot tell apart, they see only bytes."""

from __future__ import annotations

import h11
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import trio_test

from enclaver_runtime.enclave import http
from enclaver_runtime.enclave.http import End, Exchange, HttpStream
from enclaver_runtime.protocol.connect import Refusal, Target
from tests.unit.enclaver_runtime.net import read_all, read_until, unix_pair

GET = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


async def exchange(request: bytes, response: bytes, ended: bool = False) -> End | Refusal:
    """How one exchange ends: the client sends ``request`` and perhaps its end, the origin ``response`` and its end."""
    client, ours = unix_pair()
    origin, upstream = unix_pair()
    async with client, ours, origin, upstream:
        await client.send_all(request)
        side = HttpStream(ours, h11.SERVER)
        head = await side.next_event()
        assert isinstance(head, h11.Request)
        if ended:
            await client.send_eof()
        await origin.send_all(response)
        await origin.send_eof()
        with trio.fail_after(5):
            return await Exchange(side, HttpStream(upstream, h11.CLIENT), head, Target("a", 80, b"/"), "a").run()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "response", "end"),
    [
        (GET, OK, End.REUSE),
        (GET + GET, OK, End.REUSE),
        (POST + b"body", OK, End.REUSE),
        (POST + b"bo", OK, End.CLOSE),
        (GET.replace(b"1.1", b"1.0"), OK, End.CLOSE),
        (GET.replace(b"Host: a", b"Host: a\r\nConnection: close"), OK, End.CLOSE),
        (GET.replace(b"Host: a", b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket"), SWITCH, End.SWITCH),
        (GET, OK[:-1], End.RESET),
    ],
)
@trio_test
async def test_ends(request_bytes: bytes, response: bytes, end: End) -> None:
    assert await exchange(request_bytes, response) is end


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 2", SWITCH, b"HTTP/1.1 100 Continue\r\n\r\n"])
@trio_test
async def test_an_origin_that_answers_nothing_valid_is_a_refusal(response: bytes) -> None:
    end = await exchange(GET, response)
    assert isinstance(end, Refusal)
    assert end.status == 502


@pytest.mark.parametrize("answer", [b"", OK[:-1]])
@trio_test
async def test_a_client_that_has_ended_its_output_waits_for_an_origin_only_so_long(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ABANDONED_SECONDS", 0.3)
    client, ours = unix_pair()
    origin, upstream = unix_pair()
    async with client, ours, origin, upstream:
        await client.send_all(GET)
        await client.send_eof()
        side = HttpStream(ours, h11.SERVER)
        head = await side.next_event()
        assert isinstance(head, h11.Request)
        start, ends = trio.current_time(), list[End | Refusal]()

        async def run() -> None:
            one = Exchange(side, HttpStream(upstream, h11.CLIENT), head, Target("a", 80, b"/"), "a")
            ends.append(await one.run())

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                await read_until(origin, b"\r\n\r\n")
                # An origin that still says something is not silent.
                await trio.sleep(0.2)
                await origin.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" + answer)
        assert trio.current_time() - start >= 0.5
        assert ends == [End.RESET]


@trio_test
async def test_a_linger_lets_the_peer_read_what_it_was_sent() -> None:
    client, ours = unix_pair()
    async with client, ours:
        side = HttpStream(ours, h11.SERVER)
        await client.send_all(bytes(10_000))
        await ours.send_all(b"no\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(side.linger)
            assert await read_until(client, b"\n") == b"no\n"
            assert await read_all(client) == b""
            await client.send_eof()


LINES = st.lists(
    st.sampled_from(
        [
            *(
                "HTTP/1.1 200 OK",
                "HTTP/1.0 200",
                "HTTP/1.1 304 Not Modified",
                "HTTP/1.1 204 No",
                "HTTP/1.1 100 Continue",
            ),
            *(
                "HTTP/1.1 101 Switch",
                "Content-Length: 3",
                "Content-Length: 0",
                "Transfer-Encoding: chunked",
                "Upgrade: websocket",
            ),
            *(
                "Connection: upgrade",
                "Connection: close, content-length, transfer-encoding",
                "",
                "",
                "abc",
                "3",
                "0",
                "T: v",
                "GET / HTTP/1.1",
            ),
        ]
    ),
    max_size=12,
).map(lambda lines: "\r\n".join(lines).encode() + b"\r\n")
HEADERS = st.lists(
    st.sampled_from(
        [
            *(b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close", b"Expect: 100-continue"),
            *(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c", b"Connection: content-length"),
        ]
    ),
    max_size=4,
    unique=True,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["GET", "HEAD", "POST"]), st.sampled_from(["1.0", "1.1"]), HEADERS, LINES, LINES)
def test_no_message_of_either_side_is_too_much(
    method: str, version: str, headers: list[bytes], body: bytes, response: bytes
) -> None:
    head = b"\r\n".join([f"{method} http://a/ HTTP/{version}".encode(), b"Host: a", *headers, b"", b""])
    end = trio.run(exchange, head + body, response, True)
    assert isinstance(end, End | Refusal)
