"""Accepting connections: so many at once, each with a task of its own, until cancelled."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio

# While there are no files for another connection, trio waits and tries again, and would print a traceback each time.
logging.getLogger("trio.serve_listeners").addHandler(logging.NullHandler())

#: Connections at once of one service; more are closed as they come, instead of all getting slow.
MAX_CONNECTIONS = 4096


async def serve(
    handler: Callable[[trio.SocketStream], Awaitable[None]],
    listeners: Sequence[trio.SocketListener],
    *,
    max_connections: int = MAX_CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call ``handler`` for every connection until cancelled; started when clients can connect.

    Closes the listeners, and each stream when its handler returns. What a handler raises propagates, but for
    the failures of connections: OSError and BrokenResourceError end that connection only.
    """
    active = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal active
        async with stream:
            if active >= max_connections:
                return
            active += 1
            try:
                await handler(stream)
            except (OSError, trio.BrokenResourceError):
                # The peer knows, since it is gone or about to be hung up on.
                return
            finally:
                active -= 1

    async with trio.open_nursery() as nursery:
        task_status.started()
        await trio.serve_listeners(handle, list(listeners), handler_nursery=nursery)
