from __future__ import annotations

import h11
import pytest

from enclaver_runtime.protocol import forward
from enclaver_runtime.protocol.connect import MAX_HEAD, Target


def request(*headers: tuple[str, str], method: str = "GET") -> h11.Request:
    return h11.Request(method=method, target="http://x/", headers=[("Host", "ignored.example"), *headers])


def test_the_target_decides_over_host_and_hops_keep_their_own() -> None:
    given = request(
        ("Accept", "*/*"),
        ("Connection", "keep-alive, X-Mine, Content-Length"),
        ("X-Mine", "1"),
        ("Proxy-Authorization", "Basic eA=="),
        ("Proxy-Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Content-Length", "3"),
        ("Expect", "100-continue"),
    )
    sent = forward.upstream_request(given, Target("X", 80, b"/p"), "x")
    assert sent.target == b"/p"
    assert sent.headers.raw_items() == [
        (b"Host", b"x"),
        (b"Accept", b"*/*"),
        (b"Content-Length", b"3"),
        (b"Expect", b"100-continue"),
        (b"Connection", b"close"),
    ]


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("x.example", 80, b"x.example"),
        ("x.example", 81, b"x.example:81"),
        ("::1", 80, b"[::1]"),
        ("::1", 81, b"[::1]:81"),
    ],
)
def test_host_is_the_targets(host: str, port: int, expected: bytes) -> None:
    assert forward.upstream_request(request(), Target("X", port, b"/"), host).headers[0] == (b"host", expected)


def test_a_chunked_body_has_no_length() -> None:
    sent = forward.upstream_request(
        request(("Content-Length", "3"), ("Transfer-Encoding", "chunked")), Target("x", 80, b"/"), "x"
    )
    assert dict(sent.headers).keys() == {b"host", b"transfer-encoding", b"connection"}


def test_only_websockets_are_upgraded() -> None:
    websocket = request(("Connection", "Upgrade"), ("Upgrade", "WebSocket"), ("Sec-WebSocket-Key", "k"))
    sent = dict(forward.upstream_request(websocket, Target("x", 80, b"/"), "x").headers)
    assert (sent[b"connection"], sent[b"upgrade"], sent[b"sec-websocket-key"]) == (b"Upgrade", b"websocket", b"k")
    h2c = request(("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x"))
    sent = dict(forward.upstream_request(h2c, Target("x", 80, b"/"), "x").headers)
    assert sent == {b"host": b"x", b"connection": b"close"}
    assert not forward.is_websocket(request(("Upgrade", "websocket")))


def test_responses_lose_what_was_the_hops() -> None:
    response = h11.Response(
        status_code=200,
        reason=b"Fine",
        headers=[("Connection", "close, X-Y"), ("X-Y", "1"), ("Content-Length", "2"), ("ETag", "e")],
    )
    passed = forward.client_response(response)
    assert (passed.status_code, passed.reason) == (200, b"Fine")
    assert passed.headers.raw_items() == [(b"Content-Length", b"2"), (b"ETag", b"e")]
    switching = h11.InformationalResponse(
        status_code=101, headers=[("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "a")]
    )
    assert dict(forward.client_information(switching).headers) == {
        b"sec-websocket-accept": b"a",
        b"connection": b"Upgrade",
        b"upgrade": b"websocket",
    }
    early = h11.InformationalResponse(status_code=103, headers=[("Connection", "x"), ("Link", "l")])
    assert dict(forward.client_information(early).headers) == {b"link": b"l"}


def read_request(data: bytes) -> h11.Request:
    """What h11 makes of a request's head."""
    state = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * MAX_HEAD)
    state.receive_data(data)
    event = state.next_event()
    assert isinstance(event, h11.Request)
    return event


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n", None),
        (b"GET http://a/ HTTP/1.0\r\n", None),
        (b"GET http://a/ HTTP/2.0\r\nHost: a\r\n", 505),
        (b"GET http://a/ HTTP/0.9\r\nHost: a\r\n", 505),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nA: " + b"a" * MAX_HEAD + b"\r\n", 431),
        (b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", None),
        (b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400),
        (b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", None),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 00\r\n", 501),
        (b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n", None),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n", None),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_faults_of_requests(data: bytes, status: int | None) -> None:
    fault = forward.request_fault(read_request(data + b"\r\n"))
    assert (fault.status if fault else None) == status


def test_a_heads_size_is_what_was_sent() -> None:
    head = b"GET http://a/ HTTP/1.1\r\nHost: a\r\nA: "
    room = MAX_HEAD - len(head) - len(b"\r\n\r\n")
    assert forward.request_fault(read_request(head + b"a" * room + b"\r\n\r\n")) is None
    assert forward.request_fault(read_request(head + b"a" * (room + 1) + b"\r\n\r\n")) is not None


def test_faults_of_responses() -> None:
    def fault(*headers: tuple[str, str], version: str = "1.1") -> str | None:
        return forward.response_fault(h11.Response(status_code=200, http_version=version, headers=list(headers)))

    assert fault() is None
    assert fault(version="1.0") is None
    assert fault(version="2.0") == "it speaks HTTP/2.0"
    assert "longer than" in (fault(("A", "a" * MAX_HEAD)) or "")
    assert forward.response_fault(h11.EndOfMessage()) is None


def test_hops_are_counted() -> None:
    def passed(method: str, value: str) -> bytes | None:
        given = request(("Max-Forwards", value), method=method)
        return dict(forward.upstream_request(given, Target("x", 80, b"/"), "x").headers).get(b"max-forwards")

    assert passed("OPTIONS", "10") == b"9"
    assert passed("TRACE", "x") == b"x"
    assert passed("OPTIONS", "1" * 30) == b"1" * 30
    assert passed("GET", "10") == b"10"


def test_what_has_no_body_does_not_speak_of_one() -> None:
    both = [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("ETag", "e")]

    def names(status: int, *headers: tuple[str, str]) -> set[bytes]:
        return set(dict(forward.client_response(h11.Response(status_code=status, headers=list(headers))).headers))

    assert names(204, *both) == {b"etag"}
    assert names(304, both[0], both[2]) == {b"content-length", b"etag"}
    assert names(304, *both[1:]) == {b"etag"}
    assert names(200, *both) == {b"transfer-encoding", b"etag"}


def test_trailers_cannot_change_the_head() -> None:
    head = request(("Connection", "X-Mine"))
    sent = [("T", "v"), ("X-Mine", "1"), ("Content-Length", "1"), ("Host", "y"), ("Connection", "x"), ("Upgrade", "z")]
    assert forward.message_end(h11.EndOfMessage(headers=sent), head).headers.raw_items() == [(b"T", b"v")]
