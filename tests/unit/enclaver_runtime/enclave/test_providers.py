from __future__ import annotations

import errno
from pathlib import Path

import trio
from trio.testing import trio_test

from enclaver_runtime.config import App, Config, Egress, Ingress
from enclaver_runtime.enclave.providers import providers
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import port_of, read_all, read_until, serving


async def free_port() -> int:
    async with listen_tcp("127.0.0.1", 0) as spare:
        return port_of(spare)


@trio_test
async def test_sections_become_services(tmp_path: Path) -> None:
    async def app(stream: trio.SocketStream) -> None:
        await stream.send_all(b"the app")

    async def connect(cid: int, port: int) -> trio.SocketStream:
        raise OSError(errno.ENODEV, "No such device")

    said: list[str] = []
    proxy_port = await free_port()
    async with serving(app) as port, trio.open_nursery() as nursery:
        config = Config(
            app=App(argv=("/app",), env={}, cwd="/", uid=1, gid=1),
            egress=Egress(proxy_port=proxy_port, allow=("a.example",), deny=()),
            ingress=(Ingress(port),),
            kms_proxy=None,
            api=None,
        )
        made = providers(
            listen=lambda number: vsock.listen_hybrid(str(tmp_path / "vm"), number), connect=connect, say=said.append
        )
        assert list(made) == ["egress", "ingress"]
        for make in made.values():
            await nursery.start(make(config))
        async with await trio.open_unix_socket(f"{tmp_path / 'vm'}_{port}") as client:
            assert await read_all(client) == b"the app"
        for host, status in (
            ("a.example", b"503 the parent's egress service cannot"),
            ("b.example", b"401 blocked by"),
        ):
            async with await connect_tcp("127.0.0.1", proxy_port) as client:
                await client.send_all(f"CONNECT {host}:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert status in await read_until(client, b"\r\n")
        nursery.cancel_scope.cancel()
    assert said == ["egress: blocked 'b.example' port 443: nothing in egress.allow covers b.example port 443"]


@trio_test
async def test_a_client_that_is_refused_over_and_over_does_not_flood_the_console() -> None:
    said: list[str] = []
    proxy_port = await free_port()
    config = Config(
        app=App(argv=("/app",), env={}, cwd="/", uid=1, gid=1),
        egress=Egress(proxy_port=proxy_port, allow=("a.example",), deny=()),
        ingress=(),
        kms_proxy=None,
        api=None,
    )

    async def connect(cid: int, port: int) -> trio.SocketStream:
        raise AssertionError("nothing is allowed")

    def listen(port: int) -> trio.SocketListener:
        raise AssertionError("nothing is published")

    async with trio.open_nursery() as nursery:
        await nursery.start(providers(listen=listen, connect=connect, say=said.append)["egress"](config))
        async with await connect_tcp("127.0.0.1", proxy_port) as client:
            await client.send_all(b"GET http://b.example/ HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            await client.send_eof()
            assert (await read_all(client)).count(b"HTTP/1.1 401 ") == 100
        nursery.cancel_scope.cancel()
    assert len(said) == 20
