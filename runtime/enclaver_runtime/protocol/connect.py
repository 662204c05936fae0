"""What a client asks an HTTP proxy for, and how the proxy says no (RFC 9112, 3.2); h11 has the syntax around it.

A client asks for a tunnel (``CONNECT host:port``) or for a page (``GET http://host/path``). In both, the
request's target says where to; Host has no say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

#: Head of a request or a response, in bytes, after which no more of it is read: it is refused, with 431 or 502.
MAX_HEAD = 64 * 1024

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
# RFC 3986, 3.2: what ends an authority. A backslash ends it for browsers, and a space for careless parsers.
_AUTHORITY_END = re.compile(r"[/?]")
_FOREIGN = re.compile(r"[\\#\s]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# A reason phrase is one line that nobody expects to be long.
_MAX_PHRASE = 200


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
