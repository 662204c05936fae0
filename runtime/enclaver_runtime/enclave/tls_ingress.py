"""Connections from outside whose TLS ends here: what is in it goes to the app's port, as plain bytes."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from enclaver_runtime.enclave.app_port import PATIENCE_SECONDS, ConnectApp, reach_app
from enclaver_runtime.enclave.tls import PIECE, CutOffError, TlsSide, accept, reason
from enclaver_runtime.transport import server
from enclaver_runtime.transport.pump import pump

#: What a client has for its handshake, in seconds; as long may one that stalls hold a connection.
HANDSHAKE_SECONDS = 10.0


async def serve_tls_port(
    *,
    port: int,
    listener: trio.SocketListener,
    context: ssl.SSLContext,
    turn: trio.Lock,
    connect_app: ConnectApp,
    tell: Callable[[str], None],
    patience: float = PATIENCE_SECONDS,
    handshake: float = HANDSHAKE_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """End the TLS of every connection of ``listener`` and relay what is in it to the app, until cancelled.

    Started when clients can connect. The app sees a client after its handshake; each direction then ends by itself.
    When the client's output is cut off, the app's connection is reset. Closes ``listener`` and every stream. Failures
    of clients and of the app end one connection only.

    Args:
        port: its number, for what is told.
        turn: see :func:`enclaver_runtime.enclave.tls.accept`.
        tell: gets a line when a handshake fails, a client is reset or breaks TLS, or the app cannot be reached.
        patience: seconds that a client waits for the app to listen.
    """

    async def relay(client: trio.SocketStream) -> None:
        side = await shaken_hands(client)
        if side is None:
            return
        app = await reach_app(connect_app, patience=patience, tell=tell)
        if app is None:
            return
        async with app:
            # Larger pieces than TLS makes are of no use, and thousands of clients may fill what they are given.
            await pump(app, side, buffer_size=PIECE)
        # Many clients hang up without a word when they are done: news for the app, for which it may be a cut, not here.
        if side.failure is not None and not isinstance(side.failure, CutOffError):
            tell(f"ingress: a TLS client of port {port} is gone: {reason(side.failure)}")

    async def shaken_hands(client: trio.SocketStream) -> TlsSide | None:
        try:
            with trio.fail_after(handshake):
                return await accept(client, context, turn=turn)
        except trio.TooSlowError:
            why = f"no handshake within {handshake:g} s"
        except OSError as error:
            why = reason(error)
        tell(f"ingress: no TLS with a client of port {port}: {why}")
        return None

    await server.serve(relay, [listener], task_status=task_status)
