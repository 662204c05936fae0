"""A stand-in for EC2's instance metadata service, version 2: it gives out one role's credentials."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_TOKEN = "AQAEATOKEN=="
_ROLES = "/latest/meta-data/iam/security-credentials/"


@contextmanager
def serving(credentials: dict[str, str], address: str = "169.254.169.254", port: int = 80) -> Iterator[list[str]]:
    """Serve ``AccessKeyId``, ``SecretAccessKey`` and ``Token`` of a role; the requests that came."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            requests.append(f"PUT {self.path}")
            asked = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self._send(*((200, _TOKEN) if asked else (400, "")))

        def do_GET(self) -> None:
            requests.append(f"GET {self.path}")
            if self.headers["X-aws-ec2-metadata-token"] != _TOKEN:
                self._send(401, "")
            elif self.path == _ROLES:
                self._send(200, "enclaves")
            elif self.path == f"{_ROLES}enclaves":
                times = {"LastUpdated": "2020-01-01T00:00:00Z", "Expiration": "2120-01-01T00:00:00Z"}
                self._send(200, json.dumps({"Code": "Success", "Type": "AWS-HMAC", **times, **credentials}))
            else:
                self._send(404, "")

        def _send(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server((address, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield requests
        finally:
            server.shutdown()
            thread.join()
