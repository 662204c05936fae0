"""Loads the proxy from within: `GET /KIND?port=P` does it with the parent's port P, and is answered what came of it."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

PROXY = ("127.0.0.1", 10000)
PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b"Hello, world\n"
MIB = 1 << 20


def tunnel(port: int) -> socket.socket:
    plain = socket.create_connection(PROXY, 120)
    plain.sendall(f"CONNECT host:{port} HTTP/1.1\r\nHost: host:{port}\r\n\r\n".encode())
    assert until(plain, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    return plain


def until(plain: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = plain.recv(1 if end == b"\r\n\r\n" else 65536)
        if not piece:
            raise EOFError(f"ended after {data[-80:]!r}")
        data += piece
    return data


def answered(plain: socket.socket) -> bool:
    plain.sendall(PAGE)
    return until(plain, BODY).startswith(b"HTTP/1.1 200 OK")


def hold(port: int) -> dict[str, object]:
    held = [tunnel(port) for _ in range(200)]
    count = sum(answered(plain) for plain in held)
    for plain in held:
        plain.close()
    return {"asked": len(held), "answered": count}


def many(port: int) -> dict[str, object]:
    count = 0
    for _ in range(300):
        with tunnel(port) as plain:
            count += answered(plain)
    return {"asked": 300, "answered": count}


def bulk(port: int) -> dict[str, object]:
    """Both ways at once, to what sends everything back."""
    data = b"".join(struct.pack(">Q", number) for number in range(2 * MIB))
    with tunnel(port) as plain:

        def send() -> None:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        while len(received) < len(data) and (piece := plain.recv(MIB)):
            received += piece
        sender.join()
    return {"sent": len(data), "received": len(received), "same": received == data}


def reset(port: int) -> dict[str, object]:
    for _ in range(20):
        with tunnel(port) as plain:
            plain.sendall(b"GET /100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            plain.recv(65536)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with tunnel(port) as plain:
        return {"answered": int(answered(plain))}


def parent() -> socket.socket:
    plain = socket.socket(socket.AF_VSOCK)
    plain.settimeout(120)
    plain.connect((2, 17002))
    return plain


def garbage(port: int) -> dict[str, object]:
    for data in (b"\x02\x00{}", b"\xff\xff", b"\0\0", b"\x05\x00{{{{{"):
        with parent() as plain:
            plain.sendall(data)
            plain.recv(1)
    with tunnel(port) as plain:
        return {"answered": int(answered(plain))}


def splice(port: int) -> dict[str, object]:
    """Whether the kernel moves bytes from vsock to a pipe, and from a pipe to vsock."""
    frame = json.dumps({"host": "host", "port": port}).encode()
    found: dict[str, object] = {}
    output, pipe = os.pipe()
    with parent() as plain:
        plain.sendall(struct.pack("<H", len(frame)) + frame)
        assert plain.recv(6, socket.MSG_WAITALL) == b'\x04\0"Ok"'
        plain.setblocking(True)
        os.write(pipe, PAGE)
        for name, source, sink in (("out", output, plain.fileno()), ("in", plain.fileno(), pipe)):
            try:
                os.splice(source, sink, len(PAGE))
                found[name] = "moved"
            except OSError as error:
                found[name] = errno.errorcode[error.errno or 0]
                if name == "out":
                    plain.sendall(PAGE)
    return found


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        kinds = {one.__name__: one for one in (hold, many, bulk, reset, garbage, splice)}
        try:
            status, body = 200, json.dumps(kinds[url.path[1:]](int(parse_qs(url.query)["port"][0])))
        except (OSError, EOFError, AssertionError) as problem:
            status, body = 500, repr(problem)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 8000), Handler)
    print("ready", flush=True)
    server.serve_forever()
