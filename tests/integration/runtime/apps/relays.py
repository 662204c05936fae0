"""Does with connections what clients of port 8001 ask for in their first line; port 8002 is not there at first.

Orders: ``echo``; ``late`` (listen on port 8002, an echo too); ``send SIZE`` (so many bytes, then end the output first);
``fetch URL`` (by way of the proxy; the answer's status and body); ``stall PORT`` (begin requests to the parent's port
through the proxy and leave them as they are).
"""

from __future__ import annotations

import socket
import socketserver
import threading
import urllib.error
import urllib.request

PORT, LATE_PORT = 8001, 8002
PROXY = ("127.0.0.1", 10000)
STALLED: list[socket.socket] = []


class Server(socketserver.ThreadingTCPServer):
    """A thread for each client."""

    daemon_threads = True
    request_queue_size = 256


class Echo(socketserver.StreamRequestHandler):
    """Sends back what comes, until it ends."""

    def handle(self) -> None:
        """Echo."""
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Orders(Echo):
    """One order a connection."""

    def handle(self) -> None:
        """Do what the first line says."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.request.recv(1)
            if not byte:
                return
            line += byte
        order, _, value = line.decode().strip().partition(" ")
        if order == "echo":
            super().handle()
        elif order == "late":
            server = Server(("127.0.0.1", LATE_PORT), Echo)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.request.sendall(b"yes\n")
        elif order == "send":
            self.request.sendall(pattern(int(value)))
            self.request.shutdown(socket.SHUT_WR)
            self.request.recv(1)
        elif order == "fetch":
            self.request.sendall(fetch(value))
        elif order == "stall":
            self.request.sendall(stall(int(value)))


def pattern(size: int) -> bytes:
    """Bytes that tell of a piece that is missing or in the wrong place."""
    return b"".join(b"%015d\n" % place for place in range(0, size, 16))[:size]


def fetch(url: str) -> bytes:
    """Return a page's status and body, or how it failed."""
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return bytes(b"%d " % answer.status + answer.read())
    except urllib.error.HTTPError as error:
        return b"%d " % error.code + error.read()
    except OSError as error:
        return f"failed: {type(error).__name__}: {error}".encode()
    except Exception as error:  # noqa: BLE001 - a body that is cut off is http.client's own.
        return f"failed: {type(error).__name__}".encode()


def stall(port: int) -> bytes:
    """Leave requests half done, each in another place; how many."""
    head = b"POST http://host:%d/ HTTP/1.1\r\nHost: x\r\n" % port
    beginnings = [b"", b"C", b"CONNECT host:%d HTTP/1.1\r\nHost" % port, head, head + b"Content-Length: 9\r\n\r\nb"]
    for beginning in beginnings * 20:
        plain = socket.create_connection(PROXY, 120)
        plain.sendall(beginning)
        STALLED.append(plain)
    return b"%d\n" % len(STALLED)


def main() -> None:
    """Serve until the enclave ends."""
    server = Server(("127.0.0.1", PORT), Orders)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
