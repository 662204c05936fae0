"""Connections from the enclave to its parent, and through it to the world."""

from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Failed, FrameReader, Request
from enclaver_runtime.protocol.heartbeat import PARENT_CIDS
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.race import race
from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import READABLE
from enclaver_runtime.transport.relay.relays import plain_of
from enclaver_runtime.transport.relay.visits import Steps

#: Connects to a CID and port.
Connect = Callable[[int, int], Awaitable[trio.SocketStream]]

#: Begins to (see :func:`enclaver_runtime.transport.relay.visits.begin`).
Begin = Callable[[int, int], socket.socket]

#: For the parent to accept; it is on the same machine.
DIAL_SECONDS = 5.0

#: For the parent to resolve the name, connect and answer.
ANSWER_SECONDS = 60.0


# No answer is shorter than this one, after which raw bytes come; of those not one must be read here.
_CONNECTED = frames.format_answer(Connected())


class ParentLink:
    """The parent, whichever of its two CIDs it has: 3 on Nitro, 2 in QEMU."""

    def __init__(self, connect: Connect, *, begin: Begin | None = None, timeout: float = DIAL_SECONDS) -> None:
        self._connect = connect
        self._begin = begin
        self._timeout = timeout
        self._cid: int | None = None
        #: Whether the end of one direction of its connections leaves the other one open; until one is there, it does.
        self.half_closes = True

    async def open(self, port: int) -> trio.SocketStream:
        """Connect to the parent's vsock port. The caller closes the stream.

        Raises:
            OSError: nobody listens there, or answers in time.
        """
        with trio.move_on_after(self._timeout):
            if self._cid is not None:
                return await self._connect(self._cid, port)
            return await self._find(port)
        raise no_answer(port)

    def begin(self, port: int) -> socket.socket | None:
        """Begin to connect to the parent's vsock port; None while it is not known which CID it has.

        Raises:
            OSError: it cannot even begin.
        """
        return self._begin(self._cid, port) if self._begin and self._cid is not None else None

    async def _find(self, port: int) -> trio.SocketStream:
        # Both at once: the one that is nobody's may refuse, or never answer.
        index, stream = await race([functools.partial(self._connect, cid, port) for cid in PARENT_CIDS])
        try:
            self._cid, self.half_closes = PARENT_CIDS[index], vsock.half_closes(stream.socket)
        except OSError:
            # It has been reset already.
            stream.socket.close()
            raise
        return stream


def no_answer(port: int) -> TimeoutError:
    """The parent does not accept in time."""
    return TimeoutError(errno.ETIMEDOUT, f"the parent's port {port} does not answer")


async def open_egress(
    link: ParentLink, request: Request, *, timeout: float = ANSWER_SECONDS
) -> trio.SocketStream | Failed:
    """Have the parent connect to where ``request`` says; the stream that leads there, or why there is none.

    The caller closes the stream.
    """
    try:
        plain = plain_of(await link.open(frames.PORT))
    except OSError as error:
        return unreachable(error)
    try:
        answer = await visits.drive(ask(plain, frames.format_request(request), trio.current_time(), timeout=timeout))
        if isinstance(answer, Connected):
            return trio.SocketStream(trio.socket.from_stdlib_socket(plain))
    except BaseException:
        plain.close()
        raise
    plain.close()
    return answer


def unreachable(error: OSError) -> Failed:
    """What it means for a request that the parent does not accept."""
    return Failed(error.errno or 0, f"the parent's egress service cannot be reached: {error.strerror}")


def ask(plain: socket.socket, frame: bytes, now: float, *, timeout: float = ANSWER_SECONDS) -> Steps[frames.Answer]:
    """Send a request's frame to the parent, on a connection to it; the answer. Not a byte more is read."""
    until = now + timeout
    try:
        yield from visits.send(plain, frame, until)
        yield plain, READABLE, until
        received = yield from visits.receive(plain, len(_CONNECTED), until)
        if received == _CONNECTED:
            return Connected()
        payload, _ = yield from visits.read(plain, FrameReader(frames.MAX_ANSWER), until, received)
        return frames.parse_answer(payload)
    except frames.FrameError as error:
        return Failed(errno.EPROTO, f"the parent's egress service speaks another protocol: {error}")
    except visits.ExpiredError:
        return Failed(errno.ETIMEDOUT, f"the parent's egress service gave no answer within {timeout:g} s")
    except OSError:
        return Failed(errno.ECONNRESET, "the parent's egress service hung up")
