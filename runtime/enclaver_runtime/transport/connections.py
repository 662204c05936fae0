"""TCP by address, without any resolver and so without a thread; and what may become of a connection that is kept."""

from __future__ import annotations

import ipaddress
import select
import socket

import trio

_BACKLOG = 1024


async def connect_tcp(address: str, port: int) -> trio.SocketStream:
    """Connect to ``port`` of an IPv4 or IPv6 address. The caller closes the stream.

    Raises:
        OSError: nobody listens there, or it cannot be reached.
        ValueError: ``address`` is none.
    """
    connection = trio.socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        await connection.connect((address, port))
        return trio.SocketStream(connection)
    except BaseException:
        connection.close()
        raise


def listen_tcp(address: str, port: int) -> trio.SocketListener:
    """Listen on ``port`` (0: any that is free) of an IPv4 or IPv6 address of this machine. The caller closes it.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
        ValueError: ``address`` is none.
    """
    listener = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        # A port whose last connections are not quite over can be listened on again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        return trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    except BaseException:
        listener.close()
        raise


def is_quiet(stream: trio.SocketStream) -> bool:
    """Whether nothing has come on a connection: neither bytes, which nobody has asked for, nor an end, nor a failure.

    One that is kept for a next request is of no use otherwise: who says something unasked has hung up, or is about to.
    """
    poll = select.poll()
    poll.register(stream.socket.fileno(), select.POLLIN)
    return not poll.poll(0)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
