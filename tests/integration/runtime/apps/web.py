"""Serve HTTP on one port, and on another what bytes alone can show; both in plain, since the runtime ends TLS.

HTTP: GET /bytes/COUNT answers with so many bytes; POST answers with the size and digest of what was sent.
Bytes: the first line is an order. ``digest`` answers with the size and digest of all that follows, up to its end;
``answer`` answers, ends its output, and then logs the size of all that follows.
"""

from __future__ import annotations

import hashlib
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTTP_PORT, BYTES_PORT = 8443, 8444


class Http(BaseHTTPRequestHandler):
    """One connection, kept for further requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with as many bytes as the path says."""
        count = int(self.path.rpartition("/")[2] or 0)
        self._answer(bytes(count))

    def do_POST(self) -> None:
        """Answer with what came."""
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        size = left
        while left and (data := self.rfile.read(min(left, 1 << 16))):
            digest.update(data)
            left -= len(data)
        self._answer(f"{size - left} {digest.hexdigest()}".encode())

    def log_message(self, *_: object) -> None:
        """Stay silent: the log is for what tests look for."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Bytes(socketserver.StreamRequestHandler):
    """One order."""

    def handle(self) -> None:
        """Obey it."""
        order = self.rfile.readline().strip()
        if order == b"answer":
            self.wfile.write(b"an answer")
            self.connection.shutdown(socket.SHUT_WR)
        size, digest = 0, hashlib.sha256()
        try:
            while data := self.rfile.read1(1 << 16):
                size += len(data)
                digest.update(data)
        except ConnectionResetError:
            print(f"reset after {size} bytes", flush=True)
            return
        if order == b"answer":
            print(f"{size} bytes after the answer", flush=True)
        else:
            self.wfile.write(f"{size} {digest.hexdigest()}".encode())


class Web(ThreadingHTTPServer):
    """With a queue for all that come at once."""

    request_queue_size = 128
    daemon_threads = True


def main() -> None:
    """Serve until the end."""
    web = Web(("127.0.0.1", HTTP_PORT), Http)
    orders = socketserver.ThreadingTCPServer(("127.0.0.1", BYTES_PORT), Bytes)
    threading.Thread(target=orders.serve_forever, daemon=True).start()
    print("listening", flush=True)
    web.serve_forever()


if __name__ == "__main__":
    main()
