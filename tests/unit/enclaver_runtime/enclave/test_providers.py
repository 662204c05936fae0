from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.config import Api, App, Config, ConfigError, Egress, Ingress, Tls
from enclaver_runtime.enclave.providers import providers
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import port_of, read_all, read_until, serving
from tests.unit.enclaver_runtime.tls import AUTHORITY, Client

IMPORTS = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


async def free_port() -> int:
    async with listen_tcp("127.0.0.1", 0) as spare:
        return port_of(spare)


class Echo:
    """A security module without one."""

    async def attest(
        self, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> bytes:
        return b"a document of " + (nonce or b"nothing")


@trio_test
async def test_sections_become_services(tmp_path: Path) -> None:
    async def app(stream: trio.SocketStream) -> None:
        await stream.send_all(b"the app")

    async def connect(cid: int, port: int) -> trio.SocketStream:
        raise OSError(errno.ENODEV, "No such device")

    said: list[str] = []
    proxy_port, api_port = await free_port(), await free_port()
    async with serving(app) as port, trio.open_nursery() as nursery:
        config = Config(
            app=App(argv=("/app",), env={}, cwd="/", uid=1, gid=1),
            egress=Egress(proxy_port=proxy_port, allow=("a.example",), deny=()),
            ingress=(Ingress(port),),
            kms_proxy=None,
            api=Api(api_port),
        )
        made = providers(
            listen=lambda number: vsock.listen_hybrid(str(tmp_path / "vm"), number),
            connect=connect,
            say=lambda line: pytest.fail(line),
            log=said.append,
            security_module=Echo,
            root=str(tmp_path),
        )
        assert list(made) == ["egress", "ingress", "api", "kms_proxy"]
        for section in ("egress", "ingress", "api"):
            await nursery.start(made[section](config))
        async with await trio.open_unix_socket(f"{tmp_path / 'vm'}_{port}") as client:
            assert await read_all(client) == b"the app"
        for host, status in (
            ("a.example", b"503 the parent's egress service cannot"),
            ("b.example", b"401 blocked by"),
        ):
            async with await connect_tcp("127.0.0.1", proxy_port) as client:
                await client.send_all(f"CONNECT {host}:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert status in await read_until(client, b"\r\n")
        async with await connect_tcp("127.0.0.1", api_port) as client:
            await client.send_all(b"POST /v1/attestation HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n")
            await client.send_all(b'{"nonce":"aGk="}')
            assert (await read_until(client, b"hi")).endswith(b"a document of hi")
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
        made = providers(
            listen=listen, connect=connect, say=said.append, log=said.append, security_module=Echo, root="/"
        )
        await nursery.start(made["egress"](config))
        async with await connect_tcp("127.0.0.1", proxy_port) as client:
            await client.send_all(b"GET http://b.example/ HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            await client.send_eof()
            assert (await read_all(client)).count(b"HTTP/1.1 401 ") == 100
        nursery.cancel_scope.cancel()
    assert len(said) == 20


def with_ingress(*sections: Ingress) -> Config:
    app = App(argv=("/app",), env={}, cwd="/", uid=1, gid=1)
    return Config(app=app, egress=None, ingress=sections, kms_proxy=None, api=None)


async def unreachable(cid: int, port: int) -> trio.SocketStream:
    raise AssertionError("nothing asks the parent")


@trio_test
async def test_a_port_with_tls_ends_it_beside_one_without(tmp_path: Path) -> None:
    async def app(stream: trio.SocketStream) -> None:
        await stream.send_all(b"the app")

    cert, key = AUTHORITY.identity().write(tmp_path)
    said: list[str] = []
    made = providers(
        listen=lambda number: vsock.listen_hybrid(str(tmp_path / "vm"), number),
        connect=unreachable,
        say=said.append,
        log=lambda line: pytest.fail(line),
        security_module=Echo,
        root="/",
    )
    async with serving(app) as plain, serving(app) as secret, trio.open_nursery() as nursery:
        tls = Tls(cert_file=str(cert), key_file=str(key))
        await nursery.start(made["ingress"](with_ingress(Ingress(plain), Ingress(secret, tls))))
        async with await trio.open_unix_socket(f"{tmp_path / 'vm'}_{plain}") as client:
            assert await read_all(client) == b"the app"
        async with await trio.open_unix_socket(f"{tmp_path / 'vm'}_{secret}") as stream:
            tls_client = Client(stream)
            await tls_client.shake_hands()
            await tls_client.flush()
            assert await tls_client.receive_all() == b"the app"
        async with await trio.open_unix_socket(f"{tmp_path / 'vm'}_{secret}") as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            assert await read_all(stream) == b""
        nursery.cancel_scope.cancel()
    assert said == [f"ingress: no TLS with a client of port {secret}: it speaks HTTP without TLS"]


def test_an_identity_that_is_none_stops_the_boot() -> None:
    made = providers(
        listen=lambda _: pytest.fail("nothing is published"),
        connect=unreachable,
        say=lambda _: None,
        log=lambda _: None,
        security_module=Echo,
        root="/",
    )
    with pytest.raises(ConfigError, match="^/none/c and /none/k are no TLS identity: No such file or directory$"):
        made["ingress"](with_ingress(Ingress(1, Tls("/none/c", "/none/k"))))


def test_without_tls_nothing_of_it_is_loaded() -> None:
    # A process of its own, since this one has it.
    code = (
        "import sys; from enclaver_runtime.enclave import main, providers;"
        "print([name for name in sys.modules if name.startswith('enclaver_runtime.') and 'tls' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=IMPORTS)
    assert done.stdout == "[]\n"
