"""Accepting connections on a loop: each is a visit, then perhaps a relay, or else perhaps a task of trio's."""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import trio

from enclaver_runtime.transport.relay.loop import READABLE
from enclaver_runtime.transport.relay.relays import Relay, Relays, plain_of
from enclaver_runtime.transport.relay.visits import Steps, Visit
from enclaver_runtime.transport.server import MAX_CONNECTIONS

T = TypeVar("T")

# Connections accepted before others get their turn.
_TURNS = 64

# While there are no files or no memory for another connection, those that come wait so long for the next attempt.
_PAUSE_SECONDS = 0.1


async def serve(
    listeners: Sequence[trio.SocketListener],
    *,
    relays: Relays,
    visit: Callable[[socket.socket], Steps[Relay | T | None]],
    task: Callable[[trio.SocketStream, T], Awaitable[None]],
    max_connections: int = MAX_CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Have every connection visit until cancelled; started when clients can connect.

    Closes the listeners, and every client. What a task raises propagates, but for the failures of connections:
    OSError and BrokenResourceError end that connection only.

    Args:
        relays: where visits and relays run.
        visit: comes to a relay, of its socket and another; to what makes it a case for ``task``; or to nothing.
        max_connections: at once; more are closed as they come.
    """
    async with trio.open_nursery() as nursery:
        reception = _Reception(nursery, relays, visit, task, max_connections)
        plain = [plain_of(listener) for listener in listeners]
        try:
            for one in plain:
                reception.listen(one)
            task_status.started()
            await trio.sleep_forever()
        finally:
            reception.is_over = True
            for one in plain:
                relays.loop.release(one)


class _Reception(Generic[T]):
    def __init__(
        self,
        nursery: trio.Nursery,
        relays: Relays,
        visit: Callable[[socket.socket], Steps[Relay | T | None]],
        task: Callable[[trio.SocketStream, T], Awaitable[None]],
        max_connections: int,
    ) -> None:
        self._nursery = nursery
        self._relays = relays
        self._visit = visit
        self._task = task
        self._max_connections = max_connections
        self._active = 0
        #: Whether no task can be started any more, although the loop may still be in a turn.
        self.is_over = False

    def listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            # What it accepts inherits this.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch(listener)

    def _watch(self, listener: socket.socket) -> None:
        if listener.fileno() != -1:
            self._relays.loop.watch(listener.fileno(), READABLE, functools.partial(self._accept, listener))

    def _accept(self, listener: socket.socket, _events: int) -> None:
        for _ in range(_TURNS):
            try:
                client, _address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                loop = self._relays.loop
                loop.forget(listener.fileno())
                loop.call_at(trio.current_time() + _PAUSE_SECONDS, functools.partial(self._watch, listener))
                return
            if self._active >= self._max_connections:
                client.close()
                continue
            self._active += 1
            client.setblocking(False)
            Visit(self._relays.loop, client, self._visit(client), functools.partial(self._visited, client))

    def _visited(self, client: socket.socket, result: Relay | T | None) -> None:
        if isinstance(result, Relay):
            self._relays.start(result, self._relayed)
        elif result is None or self.is_over:
            self._relays.loop.release(client)
            self._active -= 1
        else:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
            self._nursery.start_soon(self._run_task, stream, result)

    def _relayed(self, _complete: bool) -> None:
        self._active -= 1

    async def _run_task(self, stream: trio.SocketStream, case: T) -> None:
        try:
            async with stream:
                await self._task(stream, case)
        except (OSError, trio.BrokenResourceError):
            # The peer knows, since it is gone or about to be hung up on.
            return
        finally:
            self._active -= 1
