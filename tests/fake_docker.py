"""A docker daemon on a socket that has what it is given: for what a real one would not do on demand, or not in time."""

from __future__ import annotations

import hashlib
import json
import socketserver
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class FakeDaemon(socketserver.ThreadingUnixStreamServer):
    """Answers by method and path without the version; what loading answers is a stream of JSON lines."""

    daemon_threads = True
    request_queue_size = 10

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, tuple[int, Any]] = {"GET /version": (200, {"ApiVersion": "1.44"})}
        self.asked: list[str] = []
        self.received: list[bytes] = []
        self.pause = 0.0
        self.host = f"unix://{path}"
        super().__init__(str(path), Handler)

    def add(self, archive: bytes, config: bytes, *names: str, digests: Sequence[str] = (), **inspected: Any) -> str:
        """Add an image by what it saves: under its id, which is returned, and names."""
        image_id = f"sha256:{hashlib.sha256(config).hexdigest()}"
        platform = {"Os": "linux", "Architecture": "amd64"}
        answer = {"Id": image_id, "RepoDigests": list(digests), **platform, **inspected}
        for name in (answer["Id"], *names):
            self.answers[f"GET /images/{name}/json"] = (200, answer)
        self.answers[f"GET /images/{answer['Id']}/get"] = (200, archive)
        return image_id


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeDaemon

    def _answer(self) -> None:
        path = urllib.parse.unquote(self.path.removeprefix("/v1.44"))
        self.server.asked.append(f"{self.command} {path}")
        self.server.received.append(self._body())
        time.sleep(self.server.pause)
        status, answer = self.server.answers.get(
            f"{self.command} {path.partition('?')[0]}", (404, {"message": f"No such image: {path}"})
        )
        self.send_response(status)
        if isinstance(answer, bytes):
            self.send_header("Content-Type", "application/x-tar")
            data = answer
        else:
            self.send_header("Content-Type", "application/json")
            data = json.dumps(answer).encode()
        if path.partition("?")[0] == "/images/load" and isinstance(answer, list):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in answer:
                text = json.dumps(line).encode() + b"\r\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[FakeDaemon]:
    """Serve a daemon; ``host`` is what DOCKER_HOST is to be."""
    # A socket's path is at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="enclaver-", dir="/tmp") as folder, FakeDaemon(Path(folder, "s")) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()
