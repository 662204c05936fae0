"""Connections from outside to the app: the vsock port of each ``listen_port``, relayed to the app's loopback."""

from __future__ import annotations

from collections.abc import Callable

import trio

from enclaver_runtime.enclave.app_port import PATIENCE_SECONDS, ConnectApp, reach_app
from enclaver_runtime.transport import server, vsock
from enclaver_runtime.transport.relay.relays import open_relays

# Where there is no half-close: an app that has ended its output has seldom more to read than is on the way.
_HOLD_SECONDS = 1.0


async def serve_port(
    *,
    listener: trio.SocketListener,
    connect_app: ConnectApp,
    tell: Callable[[str], None],
    patience: float = PATIENCE_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Relay every connection of ``listener`` to the app until cancelled; started when clients can connect.

    A connection that comes before the app listens waits for it, up to ``patience`` seconds. Closes
    ``listener`` and every stream. Failures of clients and of the app end one connection only.

    Args:
        tell: gets a line when a client is hung up on, because the app cannot be reached.
    """

    async def relay(client: trio.SocketStream) -> None:
        app = await reach_app(connect_app, patience=patience, tell=tell)
        if app is None:
            return
        async with app:
            hold = 0.0 if vsock.half_closes(client.socket) else _HOLD_SECONDS
            await relays.run(app, client, hold=hold)

    async with open_relays() as relays:
        await server.serve(relay, [listener], task_status=task_status)
