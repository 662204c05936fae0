"""What an HTTP proxy passes on of requests and responses, and what it does not (RFC 9110, 7.6; RFC 9112, 6).

What concerns one connection only (Connection and what it names, Proxy-*, Keep-Alive, TE, Upgrade) stays behind,
except for an upgrade that is asked for. Nothing is passed on of which two readers could make different messages:
h11 refuses most of that, :func:`request_fault` the rest, and what goes out is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable

import h11

from enclaver_runtime.protocol.connect import MAX_HEAD, Refusal, Target

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"upgrade",
    }
)
_FRAMING = frozenset({b"content-length", b"host", b"transfer-encoding"})
_WEBSOCKET = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]

# RFC 9110, 7.6.2: the methods for which a client may limit the number of proxies on the way.
_COUNTED = frozenset({b"OPTIONS", b"TRACE"})

# Longer numbers than anybody's are left as they are.
_DIGITS = 10

Headers = Iterable[tuple[bytes, bytes]]
_Head = h11.Request | h11.Response | h11.InformationalResponse


def request_fault(request: h11.Request) -> Refusal | None:
    """Why a request that h11 has read is not passed on; None if it is."""
    version = request.http_version.decode("ascii")
    if not version.startswith("1."):
        return Refusal(505, f"this proxy speaks HTTP/1.1, not HTTP/{version}")
    if _size(request, len(request.method) + len(request.target)) > MAX_HEAD:
        return Refusal(431, f"the request's head is longer than {MAX_HEAD} bytes")
    encoding, length = _value(request, b"transfer-encoding"), _value(request, b"content-length")
    # RFC 9112, 6.1: of both, some read the one and some the other, which is how requests are smuggled.
    if encoding is not None and (length is not None or version == "1.0"):
        beside = "HTTP/1.0" if length is None else "Content-Length"
        return Refusal(400, f"with Transfer-Encoding and {beside}, a request's end is anybody's guess")
    # RFC 9110, 9.3.6: what comes behind it is the tunnel's.
    if request.method == b"CONNECT" and (encoding is not None or length not in (None, b"0")):
        return Refusal(400, "a CONNECT request has no body")
    if request.method in _COUNTED and _number(_value(request, b"max-forwards")) == 0:
        return Refusal(501, "the request's Max-Forwards ends it at this proxy, which has nothing to say of itself")
    return None


def response_fault(event: h11.Event) -> str | None:
    """Why a response that h11 has read is not passed on; None if it is, or if ``event`` is none."""
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        return None
    version = event.http_version.decode("ascii")
    if not version.startswith("1."):
        return f"it speaks HTTP/{version}"
    return f"its head is longer than {MAX_HEAD} bytes" if _size(event, len(event.reason)) > MAX_HEAD else None


def is_websocket(event: h11.Request | h11.InformationalResponse) -> bool:
    """Whether the headers ask for, or agree to, a WebSocket; other upgrades (h2c) are not passed on."""
    # RFC 6455, 4.1: asked for with GET, in HTTP/1.1 or higher.
    if isinstance(event, h11.Request) and (event.method != b"GET" or event.http_version < b"1.1"):
        return False
    fields = list(event.headers)
    upgrade = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in fields)
    return upgrade and b"upgrade" in _connection_options(fields)


def upstream_request(request: h11.Request, target: Target, host: str, *, keep: bool = False) -> h11.Request:
    """The request as the origin gets it: origin-form, ``host`` (in its one spelling) in Host.

    It is the only one of its connection, unless that is to be kept.
    """
    assert target.path is not None
    authority = f"[{host}]" if ":" in host else host
    if target.port != 80:
        authority = f"{authority}:{target.port}"
    headers = [(b"Host", authority.encode("ascii"))]
    headers += [(name, value) for name, value in _end_to_end(request) if name.lower() != b"host"]
    hops = _number(_value(request, b"max-forwards"))
    if request.method in _COUNTED and hops:
        headers = [*_without(headers, b"max-forwards"), (b"Max-Forwards", b"%d" % (hops - 1))]
    if is_websocket(request):
        headers += _WEBSOCKET
    elif not keep:
        headers.append((b"Connection", b"close"))
    return h11.Request(method=request.method, target=target.path, headers=headers)


def client_response(response: h11.Response) -> h11.Response:
    """An origin's response as the client gets it; h11 adds what its own connection needs."""
    headers = _end_to_end(response)
    # RFC 9110, 8.6 and RFC 9112, 6.1: neither has a body. 304 may tell of the length that the page would have had.
    if response.status_code == 204:
        headers = _without(headers, b"content-length", b"transfer-encoding")
    elif response.status_code == 304:
        headers = _without(headers, b"transfer-encoding")
    return h11.Response(status_code=response.status_code, reason=response.reason, headers=headers)


def client_information(response: h11.InformationalResponse) -> h11.InformationalResponse:
    """An origin's 1xx as the client gets it; 101 keeps what it says about the new protocol."""
    # RFC 9112, 6: it has no body, whatever it says.
    headers = _without(_end_to_end(response), b"content-length", b"transfer-encoding")
    if response.status_code == 101 and is_websocket(response):
        headers += _WEBSOCKET
    return h11.InformationalResponse(status_code=response.status_code, reason=response.reason, headers=headers)


def message_end(end: h11.EndOfMessage, head: h11.Request | h11.Response) -> h11.EndOfMessage:
    """The end of a message as the other side gets it: without trailers that would change what ``head`` said."""
    dropped = _HOP_BY_HOP | _FRAMING | _connection_options(head.headers)
    return h11.EndOfMessage(
        headers=[(name, value) for name, value in end.headers.raw_items() if name.lower() not in dropped]
    )


def _size(event: _Head, first_line: int) -> int:
    # h11 limits only what has come of an incomplete head, to which the last read may add as much again. This is the
    # size as most programs write it: a version and two spaces in the first line, a colon and a space in the others.
    return first_line + len(b"HTTP/1.1  \r\n\r\n") + sum(len(name) + len(value) + 4 for name, value in event.headers)


def _value(event: h11.Request, wanted: bytes) -> bytes | None:
    return next((value for name, value in event.headers if name == wanted), None)


def _number(value: bytes | None) -> int | None:
    return int(value) if value and value.isdigit() and len(value) < _DIGITS else None


def _without(headers: Headers, *unwanted: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in unwanted]


def _connection_options(headers: Headers) -> set[bytes]:
    return {
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    }


def _end_to_end(event: _Head) -> list[tuple[bytes, bytes]]:
    # What frames the message is no hop's business, whatever Connection says.
    dropped = _HOP_BY_HOP | (_connection_options(event.headers) - _FRAMING)
    # Chunked beats a length (RFC 9112, 6.3); passing both on is how messages are smuggled.
    if any(name == b"transfer-encoding" for name, _ in event.headers):
        dropped |= {b"content-length"}
    # Names are kept as they were written: some servers know only one spelling.
    return [(name, value) for name, value in event.headers.raw_items() if name.lower() not in dropped]
