from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol import connect
from enclaver_runtime.protocol.connect import Refusal, Target, parse_target


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"CONNECT", b"example.com:443", Target("example.com", 443)),
        (b"CONNECT", b"[2001:db8::1]:443", Target("[2001:db8::1]", 443)),
        (b"CONNECT", b"HOST.:00080", Target("HOST.", 80)),
        (b"GET", b"http://example.com", Target("example.com", 80, b"/")),
        (b"GET", b"HTTP://Example.com:8080/a?b=c/d@e", Target("Example.com", 8080, b"/a?b=c/d@e")),
        (b"GET", b"http://example.com?b", Target("example.com", 80, b"/?b")),
        (b"GET", b"http://example.com:/", Target("example.com", 80, b"/")),
        (b"GET", b"ws://example.com/chat", Target("example.com", 80, b"/chat")),
        (b"GET", b"http://[::1]/", Target("[::1]", 80, b"/")),
        (b"GET", b"http://[::1]:81/", Target("[::1]", 81, b"/")),
        (b"OPTIONS", b"http://example.com", Target("example.com", 80, b"*")),
        (b"OPTIONS", b"http://example.com/", Target("example.com", 80, b"/")),
    ],
)
def test_targets(method: bytes, target: bytes, expected: Target) -> None:
    parsed = parse_target(method, target)
    assert parsed == expected
    assert isinstance(parsed, Target)
    assert parsed.is_tunnel is (method == b"CONNECT")


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        (b"CONNECT", b"example.com", "a port is missing"),
        (b"CONNECT", b"example.com:", "a port is missing"),
        (b"CONNECT", b"[::1]", "a port is missing"),
        (b"CONNECT", b"example.com:0", "is no port"),
        (b"CONNECT", b"example.com:65536", "is no port"),
        (b"CONNECT", b"example.com:+80", "is no port"),
        (b"CONNECT", b"example.com:8_0", "is no port"),
        (b"CONNECT", b":443", "no well-formed host"),
        (b"CONNECT", b"::1:443", "no well-formed host"),
        (b"CONNECT", b"[::1:443", "no well-formed host"),
        (b"CONNECT", b"user@example.com:443", "no user name"),
        (b"GET", b"http://user:secret@example.com/", "no user name"),
        (b"GET", b"http://good.example\\@bad.example/", "no user name"),
        (b"GET", b"http://good.example\\.bad.example/", "no well-formed host"),
        (b"GET", b"http://good.example%2fbad.example/", "no well-formed host"),
        (b"GET", b"http://example.com#/", "no well-formed host"),
        (b"GET", b"http://example.com/a#b", "no fragment"),
        (b"GET", b"http:///path", "no well-formed host"),
        (b"GET", b"http://", "no well-formed host"),
        (b"GET", b"https://example.com/", "use CONNECT for https"),
        (b"GET", b"ftp://example.com/", "use CONNECT for ftp"),
        (b"GET", b"/path", "this is a proxy"),
        (b"OPTIONS", b"*", "this is a proxy"),
        (b"GET", b"example.com:80", "this is a proxy"),
    ],
)
def test_malformed_targets(method: bytes, target: bytes, reason: str) -> None:
    parsed = parse_target(method, target)
    assert isinstance(parsed, Refusal)
    assert parsed.status == 400
    assert reason in parsed.reason


@given(
    st.sampled_from([b"CONNECT", b"GET"]), st.binary(max_size=40) | st.text("a:/@[]?#.%0", max_size=20).map(str.encode)
)
def test_any_target_is_read_or_refused(method: bytes, target: bytes) -> None:
    for candidate in (target, b"http://" + target):
        parsed = parse_target(method, candidate)
        if isinstance(parsed, Target):
            assert 1 <= parsed.port <= 65535
            assert not set("@/\\?#% ") & set(parsed.host)


def test_a_refusal_is_one_line_of_plain_text() -> None:
    response, body = connect.refusal_response(Refusal(401, "no\r\nX: \u00fc " + "a" * 300), close=True)
    assert body == b"no\\r\\nX: \\xfc " + b"a" * 300 + b"\n"
    assert (response.status_code, response.reason) == (401, body[:200])
    assert dict(response.headers)[b"connection"] == b"close"
    again, _ = connect.refusal_response(Refusal(400, "x"), close=False)
    assert b"connection" not in dict(again.headers)


STREAM = (
    b"POST http://a.example/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"
    b"GET http://b.example/ HTTP/1.1\r\nHost: b\r\n\r\n"
    b"CONNECT c.example:1 HTTP/1.1\r\nHost: c\r\n\r\n"
    b"raw"
)


def events(pieces: list[bytes]) -> list[object]:
    """What a proxy sees of a stream of requests, each answered before the next is read."""
    state = h11.Connection(h11.SERVER, max_incomplete_event_size=connect.MAX_HEAD)
    seen: list[object] = []
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            if not pieces:
                return seen
            state.receive_data(pieces.pop(0))
        elif isinstance(event, h11.Data):
            if not isinstance(seen[-1], bytes):
                seen.append(b"")
            seen[-1] += bytes(event.data)  # type: ignore[operator]  # Bytes, as was just made sure of.
        elif isinstance(event, h11.Request):
            seen.append(parse_target(event.method, event.target))
        elif isinstance(event, h11.EndOfMessage):
            state.send(h11.Response(status_code=200, headers=[(b"Content-Length", b"0")]))
            if state.our_state is h11.SWITCHED_PROTOCOL:
                return [*seen, "tunnel", state.trailing_data[0] + b"".join(pieces)]
            state.send(h11.EndOfMessage())
            state.start_next_cycle()


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_requests_are_the_same_however_they_are_split(cuts: list[int]) -> None:
    pieces = [STREAM[start:end] for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True) if start < end]
    assert events(pieces) == [
        Target("a.example", 80, b"/x"),
        b"abcde",
        Target("b.example", 80, b"/"),
        Target("c.example", 1),
        "tunnel",
        b"raw",
    ]
