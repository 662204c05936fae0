"""Streams and small servers for the tests of what relays."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from enclaver_runtime.transport.connections import connect_tcp, listen_tcp

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def unix_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Two connected streams over unix sockets, which stand in for vsock."""
    left, right = socket.socketpair()
    return _stream(left), _stream(right)


async def tcp_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Two connected streams over TCP."""
    listener = listen_tcp("127.0.0.1", 0)
    async with listener:
        left = await connect_tcp("127.0.0.1", port_of(listener))
        return left, await listener.accept()


def _stream(plain: socket.socket) -> trio.SocketStream:
    plain.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(plain))


def port_of(listener: trio.SocketListener) -> int:
    """The TCP port of a listener."""
    port: int = listener.socket.getsockname()[1]
    return port


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A TCP server on the loopback, by its port; its streams are closed for it."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await handler(stream)

    listener = listen_tcp("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield port_of(listener)
        nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything up to the end of input."""
    data = bytearray()
    async for piece in stream:
        data += piece
    return bytes(data)


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    """Everything up to and with ``end``, or the end of input; not a byte more."""
    data = bytearray()
    while not data.endswith(end) and (piece := await stream.receive_some(1)):
        data += piece
    return bytes(data)


async def reply(stream: trio.SocketStream, response: bytes) -> bytes:
    """Read a request's head and answer it; the head."""
    head = await read_until(stream, b"\r\n\r\n")
    await stream.send_all(response)
    return head
