"""The parent's end of ingress: a TCP port of this machine, relayed to a vsock port of the enclave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.transport import server
from enclaver_runtime.transport.connections import listen_tcp
from enclaver_runtime.transport.relay.relays import open_relays

#: How long a connection waits for an enclave that still boots, in seconds.
PATIENCE_SECONDS = 60.0

_PAUSE = 0.1

#: Connects to the enclave's port, once; raises OSError.
OpenEnclave = Callable[[], Awaitable[trio.SocketStream]]


async def serve_ingress(
    *,
    host: str,
    port: int,
    open_enclave_port: OpenEnclave,
    tell: Callable[[str], None],
    patience: float = PATIENCE_SECONDS,
    hold: float = 0.0,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Relay connections to ``port`` (0: any that is free) of ``host``, an address of this machine, until cancelled.

    Started, with the port's number, when clients can connect. A connection that comes before the enclave
    listens waits for it, up to ``patience`` seconds. Closes every stream. Failures of either side end one
    connection only.

    Args:
        tell: gets a line when a client is hung up on, because the enclave cannot be reached.
        hold: where the enclave's streams know no half-close: seconds of silence after the end of a client's output
            that end its connection (see :func:`enclaver_runtime.transport.pump.pump`).

    Raises:
        OSError: the port is taken, or the address is not this machine's.
        ValueError: ``host`` is no address.
    """

    async def relay(client: trio.SocketStream) -> None:
        try:
            with trio.fail_after(patience):
                enclave = await _connect_patiently(open_enclave_port)
        except trio.TooSlowError:
            tell(f"ingress: the enclave did not accept within {patience:g} s, a connection was dropped")
            return
        async with enclave:
            await relays.run(client, enclave, hold=hold)

    listener = listen_tcp(host, port)
    async with open_relays() as relays, trio.open_nursery() as nursery:
        await nursery.start(_serve, relay, listener)
        task_status.started(listener.socket.getsockname()[1])


async def _serve(
    relay: Callable[[trio.SocketStream], Awaitable[None]],
    listener: trio.SocketListener,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    await server.serve(relay, [listener], task_status=task_status)


async def _connect_patiently(open_enclave_port: OpenEnclave) -> trio.SocketStream:
    while True:
        try:
            return await open_enclave_port()
        except OSError:
            # However it fails, it may be that the enclave still boots.
            await trio.sleep(_PAUSE)
