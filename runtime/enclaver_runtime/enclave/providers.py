"""The services of the real machine: what a section of runtime.json starts, and on which sockets."""

from __future__ import annotations

import functools
from collections.abc import Callable

import trio

from enclaver_runtime.config import Config
from enclaver_runtime.enclave import ingress
from enclaver_runtime.enclave.parent_link import Connect, ParentLink, open_egress
from enclaver_runtime.enclave.services import Provider, Service
from enclaver_runtime.protocol.throttle import Throttle
from enclaver_runtime.transport import connections

Listen = Callable[[int], trio.SocketListener]


def providers(*, listen: Listen, connect: Connect, say: Callable[[str], None]) -> dict[str, Provider]:
    """What serves which section.

    Args:
        listen: gives a listener for a vsock port of the enclave.
        connect: connects to a vsock CID and port.
        say: writes a line for people; each service's lines are limited to what a console can take.
    """

    def make_egress(config: Config) -> Service:
        # Loaded only here, since h11 takes its time, which an enclave without egress need not spend.
        from enclaver_runtime.enclave.egress import serve_proxy
        from enclaver_runtime.protocol.policy import Policy

        section = config.egress
        assert section is not None
        policy = Policy(allow=section.allow, deny=section.deny)
        link = ParentLink(connect)

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            await serve_proxy(
                listeners=[connections.listen_tcp("127.0.0.1", section.proxy_port)],
                policy=policy,
                open_egress=functools.partial(open_egress, link),
                tell=_throttled(say),
                task_status=task_status,
            )

        return serve

    def make_ingress(config: Config) -> Service:
        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            tell = _throttled(say)
            async with trio.open_nursery() as nursery:
                for section in config.ingress:
                    await nursery.start(serve_one, section.listen_port, tell)
                task_status.started()

        async def serve_one(port: int, tell: Callable[[str], None], *, task_status: trio.TaskStatus[None]) -> None:
            await ingress.serve_port(
                listener=listen(port),
                connect_app=lambda: connections.connect_tcp("127.0.0.1", port),
                tell=tell,
                task_status=task_status,
            )

        return serve

    return {"egress": make_egress, "ingress": make_ingress}


def _throttled(say: Callable[[str], None]) -> Callable[[str], None]:
    throttle = Throttle()

    def tell(line: str) -> None:
        for admitted in throttle.admit(line, trio.current_time()):
            say(admitted)

    return tell
