"""A registry on loopback that does what is asked of it, or misbehaves: what no real one would do on demand."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

USER, PASSWORD, TOKEN, IDENTITY = "auditor", "correct-horse", "a.token-of_it", "identity-token"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha256(data: bytes) -> str:
    """A digest as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for one registry."""

    protocol_version = "HTTP/1.1"
    registry: FakeRegistry
    body = b""

    def answer(self, status: int, data: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer with a body; a Content-Length among the headers is said instead of the body's own."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        seen = self.registry
        seen.requests.append((self.command, self.path, dict(self.headers.items())))
        hooks = seen.hooks.get(f"{self.command} {path}", [])
        if hooks:
            hook = hooks[0] if len(hooks) == 1 and seen.forever else hooks.pop(0)
            if hook(self):
                return
        if path == "/token":
            self._token(urllib.parse.parse_qs(query))
        elif seen.auth and not self._authorized():
            asked = f'Bearer realm="{seen.root}/token",service="fake",scope="repository:app:pull"'
            self.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="fake"' if seen.auth == "basic" else asked})
        else:
            self._serve(path, urllib.parse.parse_qs(query))

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _authorized(self) -> bool:
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        given = self.headers.get("Authorization")
        return given == (f"Basic {basic}" if self.registry.auth == "basic" else f"Bearer {TOKEN}")

    def _token(self, query: dict[str, list[str]]) -> None:
        form = urllib.parse.parse_qs(self.body.decode())
        self.registry.asked.append(form or query)
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        good = self.headers.get("Authorization") == basic or form.get("refresh_token") == [IDENTITY]
        if self.registry.auth == "anonymous" or good:
            self.answer(200, json.dumps({self.registry.token_key: TOKEN}).encode())
        else:
            self.answer(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}')

    def _serve(self, path: str, query: dict[str, list[str]]) -> None:
        seen = self.registry
        match = re.fullmatch(r"/v2/([a-z/]+)/(manifests|blobs|blobs/uploads)/(.*)", path)
        assert match, path
        repository, kind, name = match.groups()
        if self.command == "POST":
            self.answer(202, b"", {"Location": f"{seen.location}/v2/{repository}/blobs/uploads/1?state=x"})
        elif self.command == "PUT" and kind == "manifests":
            seen.manifests[f"{repository}:{name}"] = (self.headers["Content-Type"], self.body)
            self.answer(201, b"", {"Docker-Content-Digest": sha256(self.body)})
        elif self.command == "PUT":
            seen.blobs[query["digest"][0]] = self.body
            self.answer(201)
        elif kind == "manifests" and f"{repository}:{name}" in seen.manifests:
            media_type, data = seen.manifests[f"{repository}:{name}"]
            self.answer(200, data, {"Content-Type": media_type, "Docker-Content-Digest": sha256(data)})
        elif kind == "blobs" and name in seen.blobs:
            self._blob(seen.blobs[name])
        else:
            self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')

    def _blob(self, data: bytes) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        if match and start >= len(data):
            self.answer(416)
        elif match:
            self.answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
        else:
            self.answer(200, data)


Hook = Callable[[Handler], Any]


@dataclass
class FakeRegistry:
    """What it has, and how it behaves.

    Args:
        manifests: type and bytes by ``REPOSITORY:TAG`` or ``REPOSITORY:DIGEST``.
        blobs: by digest.
        auth: '', ``basic``, ``token`` (for USER), or ``anonymous`` (a token for anybody).
        hooks: what answers the next requests of a ``METHOD /path`` instead; one that returns nothing lets it through.
        forever: the last hook stays.
        requests: method, path and headers of all that came.
        asked: the parameters of the requests for tokens.
    """

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    auth: str = ""
    token_key: str = "token"
    location: str = ""
    hooks: dict[str, list[Hook]] = field(default_factory=dict)
    forever: bool = False
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    host: str = ""
    root: str = ""

    def add(self, reference: str, data: bytes, media_type: str = MANIFEST) -> str:
        """Add a manifest, under a tag and its digest, which is returned."""
        digest = sha256(data)
        for name in (reference, f"{reference.partition(':')[0]}:{digest}"):
            self.manifests[name] = (media_type, data)
        return digest

    def add_blob(self, data: bytes) -> str:
        """Add a blob; returns its digest."""
        self.blobs[sha256(data)] = data
        return sha256(data)

    def asks(self) -> list[str]:
        """What was asked for, as ``METHOD /path``."""
        return [f"{method} {path.partition('?')[0]}" for method, path, _ in self.requests]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that have seen enough hang up."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    """Serve a registry on loopback."""
    found = FakeRegistry()
    server = _Server(("127.0.0.1", 0), type("OneHandler", (Handler,), {"registry": found}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.host = f"127.0.0.1:{server.server_address[1]}"
    found.root = f"{'https' if tls else 'http'}://{found.host}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Ways to misbehave, as hooks.


def status(code: int, data: bytes = b"", headers: Mapping[str, str] | None = None) -> Hook:
    """Answer with a status."""

    def hook(handler: Handler) -> bool:
        handler.answer(code, data, headers)
        return True

    return hook


def redirect(place: str, code: int = 307) -> Hook:
    """Lead elsewhere."""
    return status(code, b"", {"Location": place})


def hang_up(handler: Handler) -> bool:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def cut(data: bytes, headers: Mapping[str, str] | None = None) -> Hook:
    """Send half of a body and close the connection."""

    def hook(handler: Handler) -> bool:
        handler.answer(200, data[: len(data) // 2], {"Content-Length": str(len(data)), **(headers or {})})
        handler.close_connection = True
        return True

    return hook


def endless(chunk: bytes, headers: Mapping[str, str] | None = None, pause: float = 0.0) -> Hook:
    """Send a body that has no end, until nobody listens."""

    def hook(handler: Handler) -> bool:
        handler.answer(200, b"", {"Content-Length": str(1 << 60), **(headers or {})})
        handler.close_connection = True
        while True:
            handler.wfile.write(chunk)
            time.sleep(pause)

    return hook


def dripping(data: bytes, pause: float) -> Hook:
    """Send a body a byte at a time."""

    def hook(handler: Handler) -> bool:
        handler.answer(200, b"", {"Content-Length": str(len(data))})
        for byte in data:
            handler.wfile.write(bytes([byte]))
            time.sleep(pause)
        return True

    return hook
