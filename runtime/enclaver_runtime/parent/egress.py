"""The parent's end of egress: reads where the enclave wants to go, decides for itself, connects, relays.

The enclave has decided already, by the same policy, and that decision is the measured one. This one is for
what only the parent sees, the addresses that names resolve to; and it holds even if the enclave's app has
taken over its runtime.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.parent.connect import open_permitted
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import BLOCKED, Connected, Failed, FrameReader, Request
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport import server
from enclaver_runtime.transport.pump import pump

#: For the enclave's frame to come.
REQUEST_SECONDS = 10.0

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
        connect: what connects; by default :func:`open_permitted` with ``policy``.
        tell: gets a line for everything that is refused, and for peers that speak another protocol.
        request_timeout: seconds in which the frame must have come.
    """

    async def open_by_policy(host: str, port: int) -> trio.SocketStream | Failed:
        return await open_permitted(host, port, policy=policy)

    open_origin = connect or open_by_policy

    async def relay(enclave: trio.SocketStream) -> None:
        try:
            with trio.fail_after(request_timeout):
                request = await _read_request(enclave)
        except frames.FrameError as error:
            tell(f"egress: a connection was dropped: {error}")
            return
        except trio.TooSlowError:
            tell(f"egress: a connection was dropped: no request within {request_timeout:g} s")
            return
        origin = await open_origin(request.host, request.port)
        if isinstance(origin, Failed):
            if origin.message.startswith(BLOCKED):
                tell(f"egress: {request.host!a} port {request.port} {origin.message}")
            await enclave.send_all(frames.format_answer(origin))
            return
        async with origin:
            await enclave.send_all(frames.format_answer(Connected()))
            await pump(enclave, origin)

    await server.serve(relay, [listener], task_status=task_status)


async def _read_request(stream: trio.SocketStream) -> Request:
    reader = FrameReader(frames.MAX_REQUEST)
    while (payload := reader.receive_data(bytes(await stream.receive_some(reader.wanted)))) is None:
        pass
    return frames.parse_request(payload)
