"""The way to the app's port for a connection from outside: the app may not listen yet."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import trio

#: How long a connection waits for the app to listen, in seconds.
PATIENCE_SECONDS = 60.0

# Between two attempts to connect to an app that does not listen yet; at first as short as that.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5

#: Connects to the app, once; raises OSError.
ConnectApp = Callable[[], Awaitable[trio.SocketStream]]


async def reach_app(
    connect_app: ConnectApp, *, patience: float, tell: Callable[[str], None]
) -> trio.SocketStream | None:
    """Connect to the app, waiting up to ``patience`` seconds for it to listen. The caller closes the stream.

    None: it cannot be reached, and ``tell`` got a line that says why.
    """
    try:
        with trio.fail_after(patience):
            return await _connect_patiently(connect_app)
    except trio.TooSlowError:
        tell(f"ingress: the app did not listen within {patience:g} s, a connection was dropped")
    except OSError as error:
        tell(f"ingress: the app cannot be reached, a connection was dropped: {error.strerror}")
    return None


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
