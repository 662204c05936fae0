"""Streams over vsock: the real address family, and the dialect of hybrid parents over unix sockets.

A hybrid parent (vhost-device-vsock, Firecracker, Cloud Hypervisor) has no vsock of its own. The guest's
connections to port P arrive at the unix socket ``PATH_P``; to reach the guest, one connects to ``PATH``,
sends ``CONNECT P\\n`` and reads ``OK ...\\n``. It never answers a connect that the guest refuses: use a
timeout.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio

from enclaver_runtime.transport.relay import visits

# For bursts: what finds no room is refused, or, over unix sockets, has to be tried again.
_BACKLOG = 1024
_MAX_GREETING = 64


class HybridError(OSError):
    """The hybrid parent did not answer ``CONNECT`` with ``OK``."""


def check() -> None:
    """Try whether this process may use vsock.

    Raises:
        PermissionError: it may not, as docker has it for containers.
        OSError: there is none.
    """
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()


async def connect(cid: int, port: int) -> trio.SocketStream:
    """Connect to ``port`` of ``cid`` (2 and 3 are parents, 1 this machine). The caller closes the stream.

    Raises:
        OSError: refused, unreachable, or no vsock here.
    """
    connection = trio.socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    try:
        await connection.connect((cid, port))
        return trio.SocketStream(connection)
    except BaseException:
        connection.close()
        raise


def begin(cid: int, port: int) -> socket.socket:
    """Begin to connect (see :func:`enclaver_runtime.transport.relay.visits.begin`).

    Raises:
        OSError: it cannot even begin, or no vsock here.
    """
    return visits.begin(socket.AF_VSOCK, (cid, port))


async def connect_hybrid(path: str, port: int) -> trio.SocketStream:
    """Connect to ``port`` of the guest behind the hybrid parent's unix socket ``path``. The caller closes it.

    Raises:
        OSError: there is no such socket.
        HybridError: the parent hung up or answered something else, as it does while the guest is not there.
    """
    stream = await trio.open_unix_socket(path)
    try:
        await stream.send_all(b"CONNECT %d\n" % port)
        greeting = b""
        # A byte at a time: what follows the line belongs to the caller, and nothing can be put back.
        while not greeting.endswith(b"\n"):
            byte = await stream.receive_some(1)
            greeting += byte
            if not byte or len(greeting) > _MAX_GREETING:
                raise HybridError(f"{path} answered CONNECT {port} with {greeting!r}")
        if not greeting.startswith(b"OK"):
            raise HybridError(f"{path} answered CONNECT {port} with {greeting!r}")
        return stream
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stream)
        raise HybridError(f"{path} hung up on CONNECT {port}") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


def half_closes(connection: socket.socket | trio.socket.SocketType) -> bool:
    """Whether the end of one direction of a connection to the parent leaves the other one open.

    Not where the parent is CID 2, the host itself: its vsock is then a device of the emulator's, which takes the end
    of its own side's output for the end of the connection and says nothing of the end of ours.
    """
    return connection.family is not socket.AF_VSOCK or connection.getpeername()[0] != socket.VMADDR_CID_HOST


def listen(port: int) -> trio.SocketListener:
    """Listen on ``port`` of this machine, whatever its CID is. The caller closes the listener.

    Raises:
        OSError: the port is taken, or no vsock here.
    """
    return _listener(socket.AF_VSOCK, (socket.VMADDR_CID_ANY, port))


def listen_hybrid(path: str, port: int) -> trio.SocketListener:
    """Listen where the guest's connections to ``port`` of its hybrid parent arrive. The caller closes it.

    A socket that an earlier run left behind is replaced.

    Raises:
        OSError: the folder is missing, or the path is too long (107 bytes).
    """
    with suppress(FileNotFoundError):
        os.unlink(f"{path}_{port}")
    return _listener(socket.AF_UNIX, f"{path}_{port}")


def _listener(family: int, address: tuple[int, int] | str) -> trio.SocketListener:
    # The plain socket's bind, since trio's would start a thread for a unix socket; PID 1 has none, and forks.
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
        return trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    except BaseException:
        listener.close()
        raise
