"""The enclave's proxy and the parent's egress, with unix sockets for vsock between them."""

from __future__ import annotations

import functools
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from enclaver_runtime.enclave.egress import serve_proxy
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.parent.egress import serve_egress
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from enclaver_runtime.transport.relay import visits
from tests.unit.enclaver_runtime.net import port_of


class Proxied:
    """A running pair: the proxy's port, and what either side told."""

    def __init__(self, port: int, told: list[str]) -> None:
        self.port = port
        self.told = told

    async def connect(self) -> trio.SocketStream:
        """Connect to the proxy."""
        return await connect_tcp("127.0.0.1", self.port)


@asynccontextmanager
async def proxied(
    *,
    allow: Sequence[str],
    deny: Sequence[str] = (),
    parent_allow: Sequence[str] | None = None,
    idle_timeout: float = 60,
    express: bool = True,
) -> AsyncIterator[Proxied]:
    """Run both sides with one policy, unless the parent's is given.

    Without ``express``, the first tunnel takes the long way, as the first one of an enclave does.
    """
    listener = listen_tcp("127.0.0.1", 0)
    result = Proxied(port_of(listener), [])
    with tempfile.TemporaryDirectory() as folder, trio.fail_after(30):
        path = f"{folder}/vm"

        async def connect(cid: int, port: int) -> trio.SocketStream:
            if cid != 2:
                await trio.sleep_forever()
            return await trio.open_unix_socket(f"{path}_{port}")

        def begin(_cid: int, port: int) -> socket.socket:
            return visits.begin(socket.AF_UNIX, f"{path}_{port}")

        link = ParentLink(connect, begin=begin)
        if express:
            # Once it knows the parent, it takes the short way where it can.
            async with vsock.listen_hybrid(path, 1), await link.open(1):
                pass
        async with trio.open_nursery() as nursery:
            policy = Policy(allow=allow, deny=deny)
            await nursery.start(
                functools.partial(
                    serve_egress,
                    listener=vsock.listen_hybrid(path, frames.PORT),
                    policy=policy if parent_allow is None else Policy(allow=parent_allow),
                    tell=result.told.append,
                )
            )
            await nursery.start(
                functools.partial(
                    serve_proxy,
                    listeners=[listener],
                    policy=policy,
                    link=link,
                    tell=result.told.append,
                    idle_timeout=idle_timeout,
                )
            )
            yield result
            nursery.cancel_scope.cancel()
