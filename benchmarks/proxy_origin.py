"""The HTTP origin that every route of benchmarks/proxy.py leads to: one process, one epoll, no copies it can avoid.

    python proxy_origin.py          prints its port on 127.0.0.1, serves until its standard input ends

`GET /` is answered with a few bytes, `GET /N` with N bytes, `PUT /N` with a few bytes once N have come.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from contextlib import suppress

#: The answer to what asks for no bytes.
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n"
_BLOCK = 1 << 20
_TRUNCATE = 1 << 20


class Connection:
    """One client; what is left of the body that it gets or sends."""

    def __init__(self, plain: socket.socket, zeros: int, poller: select.epoll) -> None:
        self._socket = plain
        self._zeros = zeros
        self._poller = poller
        self._to_send = 0
        self._to_read = 0
        self._head = b""

    def ready(self) -> bool:
        """Do what can be done; False when the client has gone."""
        if self._to_send:
            return self._send_body()
        if self._to_read:
            return self._read_body()
        data = self._socket.recv(65536)
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            self._answer(head)
        return bool(data)

    def _answer(self, head: bytes) -> None:
        method, target, *_ = head.split(b" ", 2)
        # Socat leads here as it is; through a proxy, targets are in the form for origins too.
        size = int(target[1:] or b"0")
        if method == b"PUT":
            self._to_read, self._head = size - len(self._head), b""
        elif size:
            # Only here may it be that the client takes no more; all else is done once epoll says that it can be.
            self._socket.setblocking(False)
            self._socket.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, socket.MSG_MORE)
            self._to_send = size
            self._poller.modify(self._socket, select.EPOLLOUT)
        else:
            self._socket.send(SMALL)

    def _send_body(self) -> bool:
        # From a file in memory: the kernel hands its pages over, nothing is copied here.
        sent = os.sendfile(self._socket.fileno(), self._zeros, 0, min(_BLOCK, self._to_send))
        self._to_send -= sent
        if not self._to_send:
            self._poller.modify(self._socket, select.EPOLLIN)
        return True

    def _read_body(self) -> bool:
        received = discard(self._socket, min(_BLOCK, self._to_read))
        self._to_read -= received
        if not self._to_read:
            self._socket.send(SMALL)
        return bool(received)


_scratch = bytearray(_TRUNCATE)


def discard(plain: socket.socket, size: int) -> int:
    """Read up to ``size`` bytes of a TCP stream without copying them (tcp(7), MSG_TRUNC); how many, 0 at the end."""
    return plain.recv_into(_scratch, min(size, _TRUNCATE), socket.MSG_TRUNC)


def zeros(size: int = _BLOCK) -> int:
    """A file in memory of so many zero bytes, to send from; the caller closes it."""
    file = os.memfd_create("zeros")
    os.truncate(file, size)
    os.pwrite(file, bytes(size), 0)
    return file


def serve() -> None:
    """Serve until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    poller.register(sys.stdin.fileno(), select.EPOLLIN)
    file = zeros()
    connections: dict[int, tuple[socket.socket, Connection]] = {}
    while True:
        for number, _ in poller.poll():
            if number == sys.stdin.fileno():
                return
            if number == listener.fileno():
                # The client may already have gone again.
                with suppress(OSError):
                    while True:
                        plain, _address = listener.accept()
                        poller.register(plain, select.EPOLLIN)
                        connections[plain.fileno()] = plain, Connection(plain, file, poller)
                continue
            plain, connection = connections[number]
            try:
                alive = connection.ready()
            except BlockingIOError:
                continue
            except OSError:
                alive = False
            if not alive:
                del connections[number]
                plain.close()


if __name__ == "__main__":
    serve()
