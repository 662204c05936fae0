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
from enclaver_runtime.protocol.frames import BLOCKED, Connected, Failed, FrameReader, Request, only_frame
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport.relay import reception, visits
from enclaver_runtime.transport.relay.relays import Relay, Relays, open_relays
from enclaver_runtime.transport.relay.visits import Steps

#: For the enclave's frame to come.
REQUEST_SECONDS = 10.0

# Requests whose decisions are remembered; a frame limits their length.
_REQUESTS = 256

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
    """A request, what the enclave has sent behind it, and what is known of the origin (see permitted_address)."""

    request: Request
    early: bytes
    origin: str | Failed | None


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
        self._policy = policy
        # The same is asked for over and over, and what the policy says of it does not change.
        self._known: dict[bytes, _Asked] = {}
        self._tell = tell
        self._request_timeout = request_timeout
        self._connect = connect or functools.partial(open_permitted, policy=policy)

    def visit(self, enclave: socket.socket) -> Steps[Relay | _Asked | None]:
        """Read a request, and connect where that takes no resolver; where it does, it is for a task."""
        asked = yield from self._asked(enclave)
        if asked is None:
            return None
        request, early, known = asked
        if known is None:
            return asked
        origin = (
            known if isinstance(known, Failed) else (yield from open_address(self._relays.loop, known, request.port))
        )
        if isinstance(origin, socket.socket):
            return Relay(enclave, origin, _CONNECTED, early)
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
        try:
            received = yield from visits.receive(enclave, frames.MAX_REQUEST, until)
            asked = self._known.get(received)
            if asked is not None:
                return asked
            payload = only_frame(received)
            if payload is not None:
                return self._remember(received, self._look_up(payload, b""))
            payload, early = yield from visits.read(enclave, FrameReader(frames.MAX_REQUEST), until, received)
            return self._look_up(payload, early)
        except frames.FrameError as error:
            self._tell(f"egress: a connection was dropped: {error}")
        except visits.ExpiredError:
            self._tell(f"egress: a connection was dropped: no request within {self._request_timeout:g} s")
        return None

    def _look_up(self, payload: bytes, early: bytes) -> _Asked:
        request = frames.parse_request(payload)
        return _Asked(request, early, permitted_address(request.host, request.port, policy=self._policy))

    def _remember(self, frame: bytes, asked: _Asked) -> _Asked:
        # Only what is a frame to the last byte, so no secret.
        if len(self._known) >= _REQUESTS:
            self._known.clear()
        self._known[frame] = asked
        return asked

    def _refusal(self, request: Request, failed: Failed) -> bytes:
        if failed.message.startswith(BLOCKED):
            self._tell(f"egress: {request.host!a} port {request.port} {failed.message}")
        return frames.format_answer(failed)
