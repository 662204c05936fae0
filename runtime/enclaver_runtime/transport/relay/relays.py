"""The relays of a service: what starts them on a loop, from a visit or from a task."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio

from enclaver_runtime.transport.pump import HALF_OPEN_SECONDS
from enclaver_runtime.transport.relay.channel import Channel
from enclaver_runtime.transport.relay.flow import Means
from enclaver_runtime.transport.relay.loop import Loop, open_loop


class Relay(NamedTuple):
    """Two sockets to be relayed to each other, and what either gets before anything from the other.

    ``hold`` is as for :func:`enclaver_runtime.transport.pump.pump`.
    """

    left: socket.socket
    right: socket.socket
    to_left: bytes = b""
    to_right: bytes = b""
    hold: float = 0.0


class Relays:
    """See :func:`open_relays`."""

    def __init__(self, loop: Loop, means: Means, half_open: float) -> None:
        self.loop = loop
        self._means = means
        self._half_open = half_open

    def start(self, relay: Relay, on_end: Callable[[bool], None]) -> Channel:
        """Relay from now on, and close both sockets at the end; ``on_end`` is as for :class:`Channel`."""
        return Channel(self.loop, self._means, *relay, half_open=self._half_open, on_end=on_end)

    async def run(self, left: trio.SocketStream, right: trio.SocketStream, *, hold: float = 0.0) -> bool:
        """The same as :func:`enclaver_runtime.transport.pump.pump`; the streams are closed at the end."""
        results: list[bool] = []
        ended = trio.Event()

        def end(complete: bool) -> None:
            results.append(complete)
            ended.set()

        channel = self.start(Relay(plain_of(left), plain_of(right), hold=hold), end)
        try:
            await ended.wait()
        finally:
            channel.close()
        return results[0]


def plain_of(holder: trio.SocketStream | trio.SocketListener) -> socket.socket:
    """The socket of a stream or a listener, which loses it."""
    inner = holder.socket
    return socket.socket(inner.family, inner.type, inner.proto, fileno=inner.detach())


@asynccontextmanager
async def open_relays(*, half_open: float = HALF_OPEN_SECONDS) -> AsyncIterator[Relays]:
    """A loop that runs beside the block, with all relays on it, and ends with it.

    Args:
        half_open: as for :func:`enclaver_runtime.transport.pump.pump`.
    """
    means = Means()
    try:
        async with open_loop() as loop:
            yield Relays(loop, means, half_open)
    finally:
        means.pipes.close()
