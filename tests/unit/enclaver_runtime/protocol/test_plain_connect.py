from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enclaver_runtime.protocol.plain_connect import MAX_PLAIN_HEAD, PlainConnect, parse_plain_connect

CURL = (
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n"
    b"User-Agent: curl/8\r\nProxy-Connection: Keep-Alive\r\n\r\n"
)
GO = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"
BARE = b"CONNECT [::1]:443 HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize("head", [CURL, GO, BARE])
def test_what_clients_send_is_recognised_with_what_comes_behind_it(head: bytes) -> None:
    target = head.split()[1]
    assert parse_plain_connect(head) == PlainConnect(target, b"")
    assert parse_plain_connect(head + b"\x16\x03\x01") == PlainConnect(target, b"\x16\x03\x01")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        CURL[:-1],
        CURL.replace(b"1.1", b"1.0", 1),
        CURL.replace(b"CONNECT", b"connect"),
        CURL.replace(b"HTTP", b"http"),
        CURL.replace(b"\r\n", b"\n"),
        CURL.replace(b"User-Agent: curl/8", b"Host: a.example"),
        CURL.replace(b"User-Agent: curl/8", b"Content-Length: 3"),
        CURL.replace(b"User-Agent: curl/8", b"Transfer-Encoding: chunked"),
        CURL.replace(b"User-Agent: curl/8", b"Connection: close"),
        CURL.replace(b"User-Agent: curl/8", b"User-Agent: x\r\n folded"),
        CURL.replace(b"User-Agent: curl/8", b"User-Agent: x\0"),
        CURL.replace(b"User-Agent: curl/8", b"User-Agent : x"),
        CURL.replace(b"User-Agent: curl/8", b"User-Agent: " + b"x" * MAX_PLAIN_HEAD),
        b"CONNECT a.example:443 HTTP/1.1\r\nUser-Agent: host:\r\n\r\n",
        b"CONNECT user@a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_everything_else_is_for_h11(data: bytes) -> None:
    assert parse_plain_connect(data) is None


PIECES = [
    *("CONNECT", "connect", "GET", " ", "  ", "\t", "a.example:443", "[::1]:80", "a:b:c", "HTTP/1.1", "HTTP/1.0"),
    *("\r\n", "\n", "\r\n\r\n", "Host", "host", "User-Agent", "Proxy-Connection", "Accept", "Connection", ": ", ":"),
    *("Content-Length", "Transfer-Encoding", "chunked", "close", "3", "x", "\x00", "\xe9", "host: ", "{", "%", "@"),
]
MUTATED = st.builds(
    lambda head, at, much, piece: head[:at] + piece + head[at + much :],
    st.sampled_from([CURL, GO, BARE]),
    st.integers(0, len(CURL)),
    st.integers(0, 12),
    st.one_of(st.sampled_from(PIECES).map(lambda text: text.encode("latin-1")), st.binary(max_size=3)),
)
BUILT = st.lists(st.sampled_from(PIECES), max_size=20).map("".join).map(lambda text: text.encode("latin-1"))


@pytest.mark.slow
@given(st.one_of(MUTATED, BUILT, BUILT.map(lambda rest: b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n" + rest)), st.binary())
@example(CURL, b"early")
def test_what_is_recognised_is_the_same_to_h11(data: bytes, early: bytes) -> None:
    found = parse_plain_connect(data + early)
    if found is None:
        return
    state = h11.Connection(h11.SERVER)
    state.receive_data(data + early)
    request = state.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target, request.http_version) == (b"CONNECT", found.target, b"1.1")
    assert isinstance(state.next_event(), h11.EndOfMessage)
    assert state.next_event() is h11.PAUSED
    assert state.trailing_data == (found.early, False)
    # Nor does h11 put anything into the answer that the short way leaves out.
    answer = state.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"
