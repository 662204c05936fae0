"""The HTTP proxy on the enclave's loopback, which is the app's only way out.

Each request is decided by the policy, then carried by a connection of its own through the parent. A client's
connection may carry many requests, one after the other; a tunnel is its last.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence

import h11
import trio

from enclaver_runtime.enclave.http import End, Exchange, HttpStream
from enclaver_runtime.protocol import connect, frames
from enclaver_runtime.protocol.connect import Refusal, Target
from enclaver_runtime.protocol.frames import Failed, Request
from enclaver_runtime.protocol.policy import Denied, Policy
from enclaver_runtime.transport import server, vsock
from enclaver_runtime.transport.pump import pump, reset

#: Seconds in which the head of a client's next request must have come.
IDLE_SECONDS = 300.0

# Where there is no half-close: long enough for the origin to begin its answer to a client that has ended its output.
_HOLD_SECONDS = 10.0

#: Gives a stream to where the request says, or why there is none.
Open = Callable[[Request], Awaitable[trio.SocketStream | Failed]]


async def serve_proxy(
    *,
    listeners: Sequence[trio.SocketListener],
    policy: Policy,
    open_egress: Open,
    tell: Callable[[str], None],
    idle_timeout: float = IDLE_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the proxy until cancelled; started when clients can connect.

    Closes ``listeners`` and every stream. Failures of clients, origins and the parent end one connection only.

    Args:
        open_egress: connects through the parent.
        tell: gets a line for everything that the policy refuses.
        idle_timeout: seconds in which a request's head must have come.
    """
    proxy = _Proxy(policy, open_egress, tell, idle_timeout)
    await server.serve(proxy.serve_client, listeners, task_status=task_status)


class _Proxy:
    def __init__(self, policy: Policy, open_egress: Open, tell: Callable[[str], None], idle_timeout: float) -> None:
        self._policy = policy
        self._open = open_egress
        self._tell = tell
        self._idle_timeout = idle_timeout

    async def serve_client(self, stream: trio.SocketStream) -> None:
        """Serve a client's requests until its connection has ended. The caller closes the stream."""
        client = HttpStream(stream, h11.SERVER)
        try:
            while await self._serve_request(client):
                client.state.start_next_cycle()
        except h11.RemoteProtocolError as error:
            # A status hint is h11's word for what is wrong: 400, 431 or 501.
            await self._refuse(client, Refusal(error.error_status_hint, str(error)), close=True)

    async def _serve_request(self, client: HttpStream) -> bool:
        """Serve the next request; whether another may follow."""
        with trio.move_on_after(self._idle_timeout) as patience:
            request = await client.next_event()
        if patience.cancelled_caught or not isinstance(request, h11.Request):
            return False
        target = connect.parse_target(request.method, request.target)
        if isinstance(target, Refusal):
            return await self._refuse_request(client, request, target)
        found = await self._reach(target)
        if isinstance(found, Refusal):
            return await self._refuse_request(client, request, found)
        host, origin = found
        async with origin:
            if target.is_tunnel:
                return await self._tunnel(client, origin)
            return await self._exchange(client, origin, request, target, host)

    async def _reach(self, target: Target) -> tuple[str, trio.SocketStream] | Refusal:
        """A stream to the target and its host in its one spelling, if the policy has it so and it is there."""
        decision = self._policy.decide(target.host, target.port)
        if isinstance(decision, Denied):
            self._tell(f"egress: blocked {target.host[:255]!a} port {target.port}: {decision.reason}")
            return Refusal(401, f"{frames.BLOCKED}: {decision.reason}")
        host = str(decision.host)
        answer = await self._open(Request(host, target.port))
        if not isinstance(answer, Failed):
            return host, answer
        if answer.message.startswith(frames.BLOCKED):
            self._tell(f"egress: blocked {host} port {target.port} by the parent: {answer.message!a}")
            return Refusal(401, answer.message)
        return Refusal(504 if answer.os_code == errno.ETIMEDOUT else 503, answer.message)

    async def _tunnel(self, client: HttpStream, origin: trio.SocketStream) -> bool:
        # The head's end is an event of its own, without which h11 has not seen the whole request.
        await client.next_event()
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        return await self._switch(client, origin, b"")

    async def _exchange(
        self, client: HttpStream, origin: trio.SocketStream, request: h11.Request, target: Target, host: str
    ) -> bool:
        upstream = HttpStream(origin, h11.CLIENT)
        end = await Exchange(client, upstream, request, target, host).run()
        if isinstance(end, Refusal):
            return await self._refuse(client, end, close=True)
        if end is End.SWITCH:
            return await self._switch(client, origin, upstream.state.trailing_data[0])
        if end is End.CLOSE:
            await client.linger()
        elif end is End.RESET:
            reset(client.stream)
            reset(origin)
        return end is End.REUSE

    async def _switch(self, client: HttpStream, origin: trio.SocketStream, early: bytes) -> bool:
        """Relay raw bytes, those first that either side sent too early to be read by anybody but h11."""
        await client.stream.send_all(early)
        await origin.send_all(client.state.trailing_data[0])
        await pump(client.stream, origin, hold=0.0 if vsock.half_closes(origin) else _HOLD_SECONDS)
        return False

    async def _refuse_request(self, client: HttpStream, request: h11.Request, refusal: Refusal) -> bool:
        # Of a refused request nothing else may be taken for the next one: what follows CONNECT is for the
        # tunnel that there is not, and a body is not waited for.
        bare = request.method != b"CONNECT" and isinstance(client.state.next_event(), h11.EndOfMessage)
        return await self._refuse(client, refusal, close=not bare, head_only=request.method == b"HEAD")

    async def _refuse(self, client: HttpStream, refusal: Refusal, *, close: bool, head_only: bool = False) -> bool:
        """Answer for the proxy itself; whether another request may follow."""
        if not client.may_respond:
            reset(client.stream)
            return False
        response, body = connect.refusal_response(refusal, close=close)
        await client.send(response)
        if not head_only:
            await client.send(h11.Data(data=body))
        await client.send(h11.EndOfMessage())
        if client.is_reusable:
            return True
        await client.linger()
        return False
