"""What an HTTP proxy makes of requests and responses (RFC 9110, 7.6 and 9112, 3.2); h11 has their syntax.

A client asks for a tunnel (``CONNECT host:port``) or for a page (``GET http://host/path``). In both, the
request's target says where to; Host has no say. What concerns one connection only (Connection and what it
names, Proxy-*, Keep-Alive, TE, Upgrade) is not passed on, except for an upgrade that is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import h11

#: Head of a request or a response, in bytes, after which no more of it is read: it is refused, with 431 or 502.
MAX_HEAD = 64 * 1024

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"upgrade",
    }
)
_FRAMING = frozenset({b"content-length", b"host", b"transfer-encoding"})
_WEBSOCKET = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
# RFC 3986, 3.2: what ends an authority. A backslash ends it for browsers, and a space for careless parsers.
_AUTHORITY_END = re.compile(r"[/?]")
_FOREIGN = re.compile(r"[\\#\s]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# A reason phrase is one line that nobody expects to be long.
_MAX_PHRASE = 200

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the host as the client spells it, the port, and for a page its path and query."""

    host: str
    port: int
    path: bytes | None = None

    @property
    def is_tunnel(self) -> bool:
        """Whether raw bytes are to be relayed."""
        return self.path is None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The proxy's own answer: an HTTP status, and one sentence for people."""

    status: int
    reason: str


def parse_target(method: bytes, target: bytes) -> Target | Refusal:
    """Read the target of a proxy's request; a Refusal when it is none."""
    text = target.decode("latin-1")
    if method == b"CONNECT":
        return _authority(text, default_port=None, path=None)
    found = _SCHEME.match(text)
    if found is None:
        return Refusal(400, "this is a proxy: the request's target must be an absolute URL, or CONNECT host:port")
    if found[1].lower() not in ("http", "ws"):
        return Refusal(400, f"this proxy fetches http URLs; use CONNECT for {found[1].lower()}")
    rest = text[found.end() :]
    end = _AUTHORITY_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "#" in path:
        return Refusal(400, "a request's target has no fragment")
    if not path:
        # RFC 9112, 3.2.4: the one request that is about the server, not about something on it.
        path = "*" if method == b"OPTIONS" else "/"
    elif path.startswith("?"):
        path = f"/{path}"
    return _authority(authority, default_port=80, path=path.encode("latin-1"))


def parse_port(text: str) -> int | None:
    """A TCP port in decimal digits; None when it is none."""
    number = int(text) if _PORT.fullmatch(text) else 0
    return number if 1 <= number <= 65535 else None


def _authority(text: str, *, default_port: int | None, path: bytes | None) -> Target | Refusal:
    if "@" in text:
        return Refusal(400, "a request's target has no user name")
    if _FOREIGN.search(text) or "%" in text:
        return Refusal(400, "the request's target has no well-formed host")
    host, colon, port_text = text.rpartition(":")
    # The colons of a bracketed IPv6 address are no port's.
    if not colon or "]" in port_text:
        host, colon, port_text = text, "", ""
    if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        return Refusal(400, "the request's target has no well-formed host")
    # RFC 3986, 3.2.3: an empty port is the default one.
    port = parse_port(port_text) if port_text else default_port
    if port is None:
        what = "is no port" if port_text else "a port is missing"
        return Refusal(400, f"the request's target must be host:port: {what}")
    return Target(host, port, path)


def is_websocket(event: h11.Request | h11.InformationalResponse) -> bool:
    """Whether the headers ask for, or agree to, a WebSocket; other upgrades (h2c) are not passed on."""
    fields = list(event.headers)
    upgrade = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in fields)
    return upgrade and b"upgrade" in _connection_options(fields)


def upstream_request(request: h11.Request, target: Target, host: str) -> h11.Request:
    """The request as the origin gets it: origin-form, ``host`` (in its one spelling) in Host, one per connection."""
    assert target.path is not None
    authority = f"[{host}]" if ":" in host else host
    if target.port != 80:
        authority = f"{authority}:{target.port}"
    headers = [(b"Host", authority.encode("ascii"))]
    headers += [(name, value) for name, value in _end_to_end(request) if name.lower() != b"host"]
    if is_websocket(request):
        headers += _WEBSOCKET
    else:
        headers.append((b"Connection", b"close"))
    return h11.Request(method=request.method, target=target.path, headers=_unambiguous(headers))


def client_response(response: h11.Response) -> h11.Response:
    """An origin's response as the client gets it; h11 adds what its own connection needs."""
    headers = _unambiguous(_end_to_end(response))
    return h11.Response(status_code=response.status_code, reason=response.reason, headers=headers)


def client_information(response: h11.InformationalResponse) -> h11.InformationalResponse:
    """An origin's 1xx as the client gets it; 101 keeps what it says about the new protocol."""
    headers = _end_to_end(response)
    if response.status_code == 101 and is_websocket(response):
        headers += _WEBSOCKET
    return h11.InformationalResponse(status_code=response.status_code, reason=response.reason, headers=headers)


def refusal_response(refusal: Refusal, *, close: bool) -> tuple[h11.Response, bytes]:
    """The proxy's own response and its body, a line of plain text.

    The reason phrase says the same, since of a refused CONNECT many clients show nothing else.
    """
    # Some of the text is the client's own, or the parent's; escaped, it is one line and no markup.
    text = "".join(character if " " <= character <= "~" else ascii(character)[1:-1] for character in refusal.reason)
    body = text.encode("ascii") + b"\n"
    headers = [
        (b"Content-Type", b"text/plain; charset=us-ascii"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Content-Length", b"%d" % len(body)),
    ]
    if close:
        headers.append((b"Connection", b"close"))
    phrase = body.strip()[:_MAX_PHRASE]
    return h11.Response(status_code=refusal.status, reason=phrase, headers=headers), body


def _connection_options(headers: Headers) -> set[bytes]:
    return {
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    }


def _end_to_end(event: h11.Request | h11.Response | h11.InformationalResponse) -> list[tuple[bytes, bytes]]:
    # What frames the message is no hop's business, whatever Connection says.
    dropped = _HOP_BY_HOP | (_connection_options(event.headers) - _FRAMING)
    # Names are kept as they were written: some servers know only one spelling.
    return [(name, value) for name, value in event.headers.raw_items() if name.lower() not in dropped]


def _unambiguous(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Chunked beats a length (RFC 9112, 6.3); passing both on is how requests are smuggled."""
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        return [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return headers
