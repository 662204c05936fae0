"""Accepting connections on a loop: each is a visit, then perhaps a relay, or else perhaps a task of trio's."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import trio

from enclaver_runtime.transport.relay.loop import READABLE, Activity, Loop
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
        entrances = [_Entrance(relays.loop, plain_of(listener), reception.receive) for listener in listeners]
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            reception.is_over = True
            for entrance in entrances:
                entrance.close()


class _Listener(socket.socket):
    """Takes the place of another; has at hand what accept() looks up each time, enums that cost as much as the call."""

    __slots__ = ("family", "type")

    family: socket.AddressFamily
    type: socket.SocketKind

    def __init__(self, plain: socket.socket) -> None:
        self.family, self.type = plain.family, plain.type
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())


class _Entrance(Activity):
    """A listener that is the entrance's from now on; ``receive`` gets what it accepts."""

    __slots__ = ("_listener", "_loop", "_receive")

    def __init__(self, loop: Loop, listener: socket.socket, receive: Callable[[socket.socket], None]) -> None:
        self._loop = loop
        self._listener = listener = _Listener(listener)
        self._receive = receive
        listener.setblocking(False)
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            # What it accepts inherits this.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add(self)
        loop.watch(listener.fileno(), READABLE, self._accept)

    def expire(self) -> None:
        """The pause is over."""
        self._loop.watch(self._listener.fileno(), READABLE, self._accept)

    def close(self) -> None:
        """Listen no longer."""
        self._loop.discard(self)
        self._loop.release(self._listener)

    def _accept(self, _events: int) -> None:
        for _ in range(_TURNS):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.forget(self._listener.fileno())
                self._loop.expire_at(self, self._loop.time() + _PAUSE_SECONDS)
                return
            self._receive(client)


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

    def receive(self, client: socket.socket) -> None:
        if self._active >= self._max_connections:
            client.close()
            return
        self._active += 1
        client.setblocking(False)
        Visit(self._relays.loop, client, self._visit(client), self._visited)

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
