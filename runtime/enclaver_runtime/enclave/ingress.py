"""Connections from outside to the app: the vsock port of each ``listen_port``, relayed to the app's loopback."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.transport import server, vsock
from enclaver_runtime.transport.pump import pump

#: How long a connection waits for the app to listen, in seconds.
PATIENCE_SECONDS = 60.0

# Between two attempts to connect to an app that does not listen yet; at first as short as that.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5

# Where there is no half-close: an app that has ended its output has seldom more to read than is on the way.
_HOLD_SECONDS = 1.0

#: Connects to the app, once; raises OSError.
ConnectApp = Callable[[], Awaitable[trio.SocketStream]]


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
        try:
            with trio.fail_after(patience):
                app = await _connect_patiently(connect_app)
        except trio.TooSlowError:
            tell(f"ingress: the app did not listen within {patience:g} s, a connection was dropped")
            return
        except OSError as error:
            tell(f"ingress: the app cannot be reached, a connection was dropped: {error.strerror}")
            return
        async with app:
            await pump(app, client, hold=0.0 if vsock.half_closes(client) else _HOLD_SECONDS)

    await server.serve(relay, [listener], task_status=task_status)


async def _connect_patiently(connect_app: ConnectApp) -> trio.SocketStream:
    pause = _FIRST_PAUSE
    while True:
        try:
            return await connect_app()
        except OSError as error:
            # Only this one passes by waiting: the app has not begun, or is being restarted by its own means.
            if error.errno != errno.ECONNREFUSED:
                raise
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
