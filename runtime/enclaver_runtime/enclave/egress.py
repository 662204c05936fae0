"""The HTTP proxy on the enclave's loopback, which is the app's only way out.

Each request is decided by the policy, then carried by a connection of its own through the parent. A client's
connection may carry many requests, one after the other; a tunnel is its last.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import h11
import trio

from enclaver_runtime.enclave.express import Begun, Express
from enclaver_runtime.enclave.http import End, Exchange, HttpStream
from enclaver_runtime.enclave.parent_link import ParentLink, open_egress
from enclaver_runtime.enclave.upstreams import Upstreams, is_repeatable
from enclaver_runtime.protocol import connect, forward, frames
from enclaver_runtime.protocol.connect import Refusal, Target
from enclaver_runtime.protocol.frames import Failed, Request
from enclaver_runtime.protocol.policy import Denied, Policy
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.pump import reset
from enclaver_runtime.transport.relay import reception
from enclaver_runtime.transport.relay.relays import Relays, open_relays

#: Seconds in which the head of a client's next request must have come.
IDLE_SECONDS = 300.0

# Where there is no half-close: long enough for the origin to begin its answer to a client that has ended its output.
_HOLD_SECONDS = 10.0

# The proxy's own answers to requests that it has understood.
_WELL_FORMED = frozenset({401, 501, 503, 504})


async def serve_proxy(
    *,
    listeners: Sequence[trio.SocketListener],
    policy: Policy,
    link: ParentLink,
    tell: Callable[[str], None],
    idle_timeout: float = IDLE_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the proxy until cancelled; started when clients can connect.

    Closes ``listeners`` and every stream. Failures of clients, origins and the parent end one connection only.

    Args:
        link: the parent, through whom it connects.
        tell: gets a line for everything that the policy refuses.
        idle_timeout: seconds in which a request's head must have come.
    """
    upstreams = Upstreams()
    async with open_relays() as relays, trio.open_nursery() as nursery:
        nursery.start_soon(upstreams.serve)
        express = Express(relays.loop, policy=policy, link=link, idle_timeout=idle_timeout, hold=_HOLD_SECONDS)
        proxy = _Proxy(relays, upstreams, policy, link, tell, idle_timeout)
        await reception.serve(
            listeners, relays=relays, visit=express.visit, task=proxy.serve_client, task_status=task_status
        )


class _Proxy:
    def __init__(
        self,
        relays: Relays,
        upstreams: Upstreams,
        policy: Policy,
        link: ParentLink,
        tell: Callable[[str], None],
        idle_timeout: float,
    ) -> None:
        self._relays = relays
        self._upstreams = upstreams
        self._policy = policy
        self._link = link
        self._tell = tell
        self._idle_timeout = idle_timeout

    async def serve_client(self, stream: trio.SocketStream, begun: Begun) -> None:
        """Serve a client's requests until its connection has ended. The caller closes the stream."""
        client = HttpStream(stream, h11.SERVER, received=begun.received)
        try:
            while await self._serve_request(client, begun):
                client.next_cycle()
                begun = Begun(b"", trio.current_time() + self._idle_timeout)
        except h11.RemoteProtocolError as error:
            # A status hint is h11's word for what is wrong: 400, 431 or 501.
            await self._refuse(client, Refusal(error.error_status_hint, str(error)), close=True)

    async def _serve_request(self, client: HttpStream, begun: Begun) -> bool:
        """Serve the next request; whether another may follow."""
        with trio.move_on_at(begun.until) as patience:
            request = await client.next_event()
        if patience.cancelled_caught or not isinstance(request, h11.Request):
            return False
        target = forward.request_fault(request) or connect.parse_target(request.method, request.target)
        if isinstance(target, Refusal):
            return await self._refuse_request(client, request, target)
        decision = self._policy.decide(target.host, target.port)
        if isinstance(decision, Denied):
            self._tell(f"egress: blocked {target.host[:255]!a} port {target.port}: {decision.reason}")
            return await self._refuse_request(client, request, Refusal(401, f"{frames.BLOCKED}: {decision.reason}"))
        host = str(decision.host)
        if is_repeatable(request) and not target.is_tunnel:
            return await self._repeatable(client, request, target, host)
        origin = await self._open(host, target.port, begun.failure)
        if isinstance(origin, Refusal):
            return await self._refuse_request(client, request, origin)
        async with origin:
            if target.is_tunnel:
                return await self._tunnel(client, origin)
            upstream = HttpStream(origin, h11.CLIENT)
            end = await Exchange(client, upstream, request, target, host).run()
            return await self._finish(client, upstream, end)

    async def _open(self, host: str, port: int, failure: Failed | None = None) -> trio.SocketStream | Refusal:
        """A stream to where the policy allows it; ``failure`` is the parent's answer, if it was asked already."""
        answer = failure or await open_egress(self._link, Request(host, port))
        if not isinstance(answer, Failed):
            return answer
        if answer.message.startswith(frames.BLOCKED):
            self._tell(f"egress: blocked {host} port {port} by the parent: {answer.message!a}")
            return Refusal(401, answer.message)
        return Refusal(504 if answer.os_code == errno.ETIMEDOUT else 503, answer.message)

    async def _tunnel(self, client: HttpStream, origin: trio.SocketStream) -> bool:
        # The head's end is an event of its own, without which h11 has not seen the whole request.
        await client.next_event()
        await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        return await self._switch(client, origin, b"")

    async def _repeatable(self, client: HttpStream, request: h11.Request, target: Target, host: str) -> bool:
        """Serve a request on a kept connection, or on a new one when there is none or nothing comes of it."""
        last = await client.next_event()
        assert isinstance(last, h11.EndOfMessage)
        while True:
            upstream = self._upstreams.take(host, target.port)
            is_new = upstream is None
            if upstream is None:
                origin = await self._open(host, target.port)
                if isinstance(origin, Refusal):
                    return await self._refuse(client, origin, close=False, head_only=request.method == b"HEAD")
                upstream = HttpStream(origin, h11.CLIENT)
            is_kept = False
            try:
                end = await Exchange(client, upstream, request, target, host, end=last, keep=True).run()
                if end in (End.REUSE, End.CLOSE):
                    is_kept = self._upstreams.give_back(host, target.port, upstream)
                if is_new or upstream.heard or not isinstance(end, Refusal):
                    return await self._finish(client, upstream, end)
            finally:
                if not is_kept:
                    upstream.close()

    async def _finish(self, client: HttpStream, upstream: HttpStream, end: End | Refusal) -> bool:
        if isinstance(end, Refusal):
            return await self._refuse(client, end, close=True)
        if end is End.SWITCH:
            return await self._switch(client, upstream.stream, upstream.state.trailing_data[0])
        if end is End.CLOSE:
            await client.linger()
        elif end is End.RESET:
            reset(client.stream)
            reset(upstream.stream)
        return end is End.REUSE

    async def _switch(self, client: HttpStream, origin: trio.SocketStream, early: bytes) -> bool:
        """Relay raw bytes, those first that either side sent too early to be read by anybody but h11."""
        await client.stream.send_all(early)
        await origin.send_all(client.state.trailing_data[0])
        hold = 0.0 if vsock.half_closes(origin.socket) else _HOLD_SECONDS
        await self._relays.run(client.stream, origin, hold=hold)
        return False

    async def _refuse_request(self, client: HttpStream, request: h11.Request, refusal: Refusal) -> bool:
        # Of a refused request nothing else may be taken for the next one: what follows CONNECT is for the
        # tunnel that there is not, a body is not waited for, and where a malformed one ends, nobody knows.
        bare = (
            refusal.status in _WELL_FORMED
            and request.method != b"CONNECT"
            and isinstance(client.state.next_event(), h11.EndOfMessage)
        )
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
