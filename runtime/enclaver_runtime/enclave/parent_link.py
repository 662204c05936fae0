"""Connections from the enclave to its parent, and through it to the world."""

from __future__ import annotations

import errno
import functools
from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Failed, FrameReader, Request
from enclaver_runtime.protocol.heartbeat import PARENT_CIDS
from enclaver_runtime.transport.race import race

Connect = Callable[[int, int], Awaitable[trio.SocketStream]]

#: For the parent to accept; it is on the same machine.
DIAL_SECONDS = 5.0

#: For the parent to resolve the name, connect and answer.
ANSWER_SECONDS = 60.0


class ParentLink:
    """The parent, whichever of its two CIDs it has: 3 on Nitro, 2 in QEMU."""

    def __init__(self, connect: Connect, *, timeout: float = DIAL_SECONDS) -> None:
        self._connect = connect
        self._timeout = timeout
        self._cid: int | None = None

    async def open(self, port: int) -> trio.SocketStream:
        """Connect to the parent's vsock port. The caller closes the stream.

        Raises:
            OSError: nobody listens there, or answers in time.
        """
        with trio.move_on_after(self._timeout):
            if self._cid is not None:
                return await self._connect(self._cid, port)
            return await self._find(port)
        raise TimeoutError(errno.ETIMEDOUT, f"the parent's port {port} does not answer")

    async def _find(self, port: int) -> trio.SocketStream:
        # Both at once: the one that is nobody's may refuse, or never answer.
        index, stream = await race([functools.partial(self._connect, cid, port) for cid in PARENT_CIDS])
        self._cid = PARENT_CIDS[index]
        return stream


async def open_egress(
    link: ParentLink, request: Request, *, timeout: float = ANSWER_SECONDS
) -> trio.SocketStream | Failed:
    """Have the parent connect to where ``request`` says; the stream that leads there, or why there is none.

    The caller closes the stream.
    """
    try:
        stream = await link.open(frames.PORT)
    except OSError as error:
        return Failed(error.errno or 0, f"the parent's egress service cannot be reached: {error.strerror}")
    try:
        with trio.move_on_after(timeout):
            answer = await _ask(stream, request)
            if isinstance(answer, Connected):
                return stream
            await trio.aclose_forcefully(stream)
            return answer
    except frames.FrameError as error:
        await trio.aclose_forcefully(stream)
        return Failed(errno.EPROTO, f"the parent's egress service speaks another protocol: {error}")
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)
        return Failed(errno.ECONNRESET, "the parent's egress service hung up")
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    await trio.aclose_forcefully(stream)
    return Failed(errno.ETIMEDOUT, f"the parent's egress service gave no answer within {timeout:g} s")


async def _ask(stream: trio.SocketStream, request: Request) -> frames.Answer:
    await stream.send_all(frames.format_request(request))
    reader = FrameReader(frames.MAX_ANSWER)
    while (payload := reader.receive_data(bytes(await stream.receive_some(reader.wanted)))) is None:
        pass
    return frames.parse_answer(payload)
