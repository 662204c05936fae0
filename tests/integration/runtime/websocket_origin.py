"""A WebSocket server (RFC 6455) for the tests' private networks: it echoes texts; at /bye it says a word and closes.

``python websocket_origin.py ADDRESS PORT``; a second server, at the next port, answers with what is no HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import socketserver
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT = 1
_CLOSE = 8
_FIN = 0x80


class Echo(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Switch protocols, then echo."""
        self.close_connection = True
        if self.headers["Upgrade"] != "websocket":
            self.send_error(426)
            return
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode())
        self.end_headers()
        if self.path == "/bye":
            self.wfile.write(frame(_TEXT, b"bye") + frame(_CLOSE, b""))
            return
        while (opcode_and_text := self._frame()) is not None:
            opcode, text = opcode_and_text
            self.wfile.write(frame(opcode, text))
            if opcode == _CLOSE:
                break

    def _frame(self) -> tuple[int, bytes] | None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.rfile.read(2))
        mask = self.rfile.read(4)
        masked = self.rfile.read(size)
        return head[0] & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (The base class names it so.)
        """Say nothing."""


class Garbage(socketserver.BaseRequestHandler):
    """A server of another protocol."""

    def handle(self) -> None:
        """Answer whatever is asked."""
        self.request.recv(4096)
        self.request.sendall(b"220 ready\r\n")


def frame(opcode: int, payload: bytes) -> bytes:
    """Write a frame as a server sends it."""
    size = struct.pack(">BH", 126, len(payload)) if len(payload) > 125 else bytes([len(payload)])
    return bytes([_FIN | opcode]) + size + payload


class Server(socketserver.ThreadingTCPServer):
    """Connections are served each by a thread that ends with the process."""

    daemon_threads = True
    allow_reuse_address = True


def main(address: str, port: int) -> None:
    """Serve until killed."""
    with Server((address, port), Echo) as echo, Server((address, port + 1), Garbage) as garbage:
        threading.Thread(target=garbage.serve_forever, daemon=True).start()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        echo.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
