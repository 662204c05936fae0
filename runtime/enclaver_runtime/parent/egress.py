"""The parent's end of egress: reads where the enclave wants to go, decides for itself, connects, relays.

The enclave has decided already, by the same policy, and that decision is the measured one. This one is for
what only the parent sees, the addresses that names resolve to; and it holds even if the enclave's app has
taken over its runtime.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from enclaver_runtime.parent.connect import open_address, open_permitted, permitted_address
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import BLOCKED, Connected, Failed, FrameReader, Request
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport.relay import reception, visits
from enclaver_runtime.transport.relay.relays import Relay, Relays, open_relays
from enclaver_runtime.transport.relay.visits import Steps

#: For the enclave's frame to come.
REQUEST_SECONDS = 10.0

# Hosts whose decisions are remembered; a frame limits their length.
_HOSTS = 256

_CONNECTED = frames.format_answer(Connected())

#: Connects to a host and port, as the policy allows; or says why not.
Open = Callable[[str, int], Awaitable[trio.SocketStream | Failed]]


async def serve_egress(
    *,
    listener: trio.SocketListener,
    policy: Policy,
    connect: Open | None = None,
    tell: Callable[[str], None],
    request_timeout: float = REQUEST_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the enclave's connections until cancelled; started when it can connect.

    Closes ``listener`` and every stream. Failures of either side end one connection only.

    Args:
        policy: the one of the image's own runtime.json.
        connect: what connects to names; by default :func:`open_permitted` with ``policy``.
        tell: gets a line for everything that is refused, and for peers that speak another protocol.
        request_timeout: seconds in which the frame must have come.
    """

    async with open_relays() as relays:
        service = _Egress(relays, policy, tell, request_timeout, connect)
        await reception.serve(
            [listener], relays=relays, visit=service.visit, task=service.resolve, task_status=task_status
        )


class _Asked(NamedTuple):
    """A request, and what the enclave has sent behind it."""

    request: Request
    early: bytes


class _Egress:
    def __init__(
        self,
        relays: Relays,
        policy: Policy,
        tell: Callable[[str], None],
        request_timeout: float,
        connect: Open | None,
    ) -> None:
        self._relays = relays
        # The same hosts are asked for over and over, and what the policy says of them does not change.
        self._address = functools.lru_cache(_HOSTS)(functools.partial(permitted_address, policy=policy))
        self._parse = functools.lru_cache(_HOSTS)(frames.parse_request)
        self._tell = tell
        self._request_timeout = request_timeout
        self._connect = connect or functools.partial(open_permitted, policy=policy)

    def visit(self, enclave: socket.socket) -> Steps[Relay | _Asked | None]:
        """Read a request, and connect where that takes no resolver; where it does, it is for a task."""
        asked = yield from self._asked(enclave)
        if asked is None:
            return None
        request = asked.request
        origin: str | socket.socket | Failed | None = self._address(request.host, request.port)
        if origin is None:
            return asked
        if isinstance(origin, str):
            origin = yield from open_address(self._relays.loop, origin, request.port)
        if isinstance(origin, socket.socket):
            return Relay(enclave, origin, to_left=_CONNECTED, to_right=asked.early)
        yield from visits.send(enclave, self._refusal(request, origin), trio.current_time() + self._request_timeout)
        return None

    async def resolve(self, enclave: trio.SocketStream, asked: _Asked) -> None:
        """Connect to a name, then relay."""
        request = asked.request
        origin = await self._connect(request.host, request.port)
        if isinstance(origin, Failed):
            await enclave.send_all(self._refusal(request, origin))
            return
        async with origin:
            await enclave.send_all(_CONNECTED)
            await origin.send_all(asked.early)
            await self._relays.run(enclave, origin)

    def _asked(self, enclave: socket.socket) -> Steps[_Asked | None]:
        until = self._relays.loop.time() + self._request_timeout
        reader = FrameReader(frames.MAX_REQUEST)
        try:
            payload, early = yield from visits.read(enclave, reader, until, ahead=frames.MAX_REQUEST)
            return _Asked(self._parse(payload), early)
        except frames.FrameError as error:
            self._tell(f"egress: a connection was dropped: {error}")
        except visits.ExpiredError:
            self._tell(f"egress: a connection was dropped: no request within {self._request_timeout:g} s")
        return None

    def _refusal(self, request: Request, failed: Failed) -> bytes:
        if failed.message.startswith(BLOCKED):
            self._tell(f"egress: {request.host!a} port {request.port} {failed.message}")
        return frames.format_answer(failed)
