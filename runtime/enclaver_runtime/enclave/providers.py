"""The services of the real machine: what a section of runtime.json starts, and on which sockets."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable

import trio

from enclaver_runtime.config import Config, Ingress
from enclaver_runtime.enclave import ingress
from enclaver_runtime.enclave.parent_link import Begin, Connect, ParentLink
from enclaver_runtime.enclave.security_module import SecurityModule
from enclaver_runtime.enclave.services import Provider, Service
from enclaver_runtime.protocol.throttle import throttled
from enclaver_runtime.transport import connections

Listen = Callable[[int], trio.SocketListener]


def providers(
    *,
    listen: Listen,
    connect: Connect,
    begin: Begin | None = None,
    say: Callable[[str], None],
    log: Callable[[str], None],
    security_module: Callable[[], SecurityModule],
    root: str,
) -> dict[str, Provider]:
    """What serves which section.

    Args:
        listen: gives a listener for a vsock port of the enclave.
        connect: connects to a vsock CID and port.
        begin: begins to; without it, every tunnel takes the long way.
        say: writes a line for people; each service's lines are limited to what a console can take.
        log: the same, also where there is no console: for what the app asked for and is refused.
        security_module: gives the enclave's, the same one each time; called once the machine is prepared.
        root: the app's root folder.
    """

    def make_egress(config: Config) -> Service:
        # Loaded only here, since h11 takes its time, which an enclave without egress need not spend.
        from enclaver_runtime.enclave.egress import serve_proxy
        from enclaver_runtime.protocol.policy import Policy

        section = config.egress
        assert section is not None
        policy = Policy(allow=section.allow, deny=section.deny)
        link = ParentLink(connect, begin=begin)

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            await serve_proxy(
                listeners=[connections.listen_tcp("127.0.0.1", section.proxy_port)],
                policy=policy,
                link=link,
                tell=throttled(log, trio.current_time),
                task_status=task_status,
            )

        return serve

    def make_ingress(config: Config) -> Service:
        tls = _tls_ports(config.ingress)

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            tell = throttled(say, trio.current_time)
            async with trio.open_nursery() as nursery:
                for section in config.ingress:
                    serve_one = tls.get(section.listen_port, ingress.serve_port)
                    await nursery.start(
                        functools.partial(
                            serve_one,
                            listener=listen(section.listen_port),
                            connect_app=functools.partial(connections.connect_tcp, "127.0.0.1", section.listen_port),
                            tell=tell,
                        )
                    )
                task_status.started()

        return serve

    def make_api(config: Config) -> Service:
        # Loaded only here, for the same reason.
        from enclaver_runtime.enclave.attestation_api import serve_api

        section = config.api
        assert section is not None

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            await serve_api(
                listeners=[connections.listen_tcp("127.0.0.1", section.listen_port)],
                security_module=security_module(),
                task_status=task_status,
            )

        return serve

    def make_kms_proxy(config: Config) -> Service:
        # Loaded only here, for the same reason.
        from enclaver_runtime.enclave.kms_service import kms_service

        return kms_service(
            config,
            root=root,
            link=ParentLink(connect),
            security_module=security_module,
            tell=throttled(log, trio.current_time),
        )

    return {"egress": make_egress, "ingress": make_ingress, "api": make_api, "kms_proxy": make_kms_proxy}


def _tls_ports(sections: Iterable[Ingress]) -> dict[int, Callable[..., Awaitable[None]]]:
    """What serves the ports of which TLS is ended here, by port."""
    if not any(section.tls for section in sections):
        return {}
    # Loaded only here, for the same reason.
    from enclaver_runtime.enclave import tls, tls_ingress

    turn = trio.Lock()
    return {
        section.listen_port: functools.partial(
            tls_ingress.serve_tls_port, port=section.listen_port, context=tls.load(section.tls), turn=turn
        )
        for section in sections
        if section.tls is not None
    }
