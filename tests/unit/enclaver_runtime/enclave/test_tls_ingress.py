from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.config import Tls
from enclaver_runtime.enclave.tls import load
from enclaver_runtime.enclave.tls_ingress import serve_tls_port
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import connect_tcp
from enclaver_runtime.transport.pump import reset
from tests.unit.enclaver_runtime.net import read_all, serving
from tests.unit.enclaver_runtime.tls import AUTHORITY, Client, trusting

App = Callable[[trio.SocketStream], Awaitable[None]]
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


class Port:
    """A port of the enclave that ends TLS, and what was told."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.told: list[str] = []

    async def connect(self) -> trio.SocketStream:
        return await trio.open_unix_socket(self._path)

    @asynccontextmanager
    async def client(self, version: ssl.TLSVersion | None = None) -> AsyncIterator[Client]:
        """A client after its handshake."""
        async with await self.connect() as stream:
            client = Client(stream, trusting(version))
            await client.shake_hands()
            await client.flush()
            yield client

    async def ask(self, question: bytes) -> bytes:
        """All that the app has to say to a question that ends."""
        async with self.client() as client:
            await client.send(question)
            await client.end()
            return await client.receive_all()


@asynccontextmanager
async def serving_tls(
    folder: Path, app: App | None, *, handshake: float = 10, patience: float = 10
) -> AsyncIterator[Port]:
    """Without an app, nobody listens where it should."""
    cert, key = AUTHORITY.identity().write(folder)
    port = Port(f"{folder}/vm_8443")
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, serving(app or upper) as app_port:
            await nursery.start(
                functools.partial(
                    serve_tls_port,
                    port=8443,
                    listener=vsock.listen_hybrid(f"{folder}/vm", 8443),
                    context=load(Tls(str(cert), str(key))),
                    turn=trio.Lock(),
                    connect_app=functools.partial(connect_tcp, "127.0.0.1", app_port if app else 1),
                    tell=port.told.append,
                    handshake=handshake,
                    patience=patience,
                )
            )
            yield port
            nursery.cancel_scope.cancel()


async def told(port: Port) -> list[str]:
    """What was told, once something was."""
    while not port.told:
        await trio.sleep(0.001)
    return port.told


async def upper(stream: trio.SocketStream) -> None:
    await stream.send_all((await read_all(stream)).upper())


@VERSIONS
@trio_test
async def test_the_clients_end_reaches_the_app_whose_answer_reaches_the_client(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    async with serving_tls(tmp_path, upper) as port, port.client(version) as client:
        await client.send(b"question")
        await client.end()
        assert await client.receive_all() == b"QUESTION"
        # The app has ended too, so it is over.
        assert await client.stream.receive_some() == b""
    assert port.told == []


@VERSIONS
@trio_test
async def test_the_apps_end_reaches_the_client_which_may_go_on(tmp_path: Path, version: ssl.TLSVersion) -> None:
    received: list[bytes] = []

    async def hurried(stream: trio.SocketStream) -> None:
        await stream.send_all(b"answer")
        await stream.send_eof()
        received.append(await read_all(stream))

    async with serving_tls(tmp_path, hurried) as port, port.client(version) as client:
        await client.send(bytes(50_000))
        assert await client.receive_all() == b"answer"
        await client.send(b"the rest")
        await client.end()
        assert await client.stream.receive_some() == b""
    assert received == [bytes(50_000) + b"the rest"]


@pytest.mark.slow
@trio_test
async def test_many_shake_hands_at_once_beside_clients_that_stall(tmp_path: Path) -> None:
    answers: list[bytes] = []

    async def ask(number: int) -> None:
        answers.append(await port.ask(b"%d" % number))

    async with serving_tls(tmp_path, upper) as port:
        silent, in_between = await port.connect(), await port.connect()
        async with silent, in_between:
            # The beginning of a first message, as if of one that is to come.
            await in_between.send_all(b"\x16\x03\x01\x02\x00\x01")
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(ask, number)
            assert sorted(map(int, answers)) == list(range(100))
        assert await told(port) == [
            "ingress: no TLS with a client of port 8443: it hung up without the end that TLS asks for"
        ]


@trio_test
async def test_a_handshake_that_takes_too_long_is_over(tmp_path: Path) -> None:
    async with serving_tls(tmp_path, upper, handshake=0.05) as port:
        async with await port.connect() as client:
            assert await read_all(client) == b""
        assert await told(port) == ["ingress: no TLS with a client of port 8443: no handshake within 0.05 s"]
        assert await port.ask(b"still there") == b"STILL THERE"


@trio_test
async def test_plain_http_ends_in_order_and_is_told(tmp_path: Path) -> None:
    async with serving_tls(tmp_path, upper) as port:
        async with await port.connect() as client:
            await client.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await read_all(client) == b""
        assert port.told == ["ingress: no TLS with a client of port 8443: it speaks HTTP without TLS"]


@trio_test
async def test_a_health_check_that_only_connects_is_nothing_to_tell(tmp_path: Path) -> None:
    async with serving_tls(tmp_path, upper) as port, await port.connect() as client:
        await client.send_eof()
        assert await read_all(client) == b""
    assert port.told == []


@pytest.mark.parametrize("broken", [False, True])
@trio_test
async def test_a_client_without_an_end_is_a_reset_for_the_app(tmp_path: Path, broken: bool) -> None:
    seen, over = bytearray(), trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        try:
            async for piece in stream:
                seen.extend(piece)
        except trio.BrokenResourceError:
            over.set()

    async with serving_tls(tmp_path, app) as port:
        async with port.client() as client:
            await client.send(b"half of ")
            while seen != b"half of ":
                await trio.sleep(0.001)
            if broken:
                await client.stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
                assert await told(port) == [
                    "ingress: a TLS client of port 8443 is gone: decryption failed or bad record mac"
                ]
        await over.wait()
    assert bool(port.told) == broken


@trio_test
async def test_an_app_that_breaks_off_is_no_end_for_the_client(tmp_path: Path) -> None:
    async def app(stream: trio.SocketStream) -> None:
        await stream.send_all(b"half of ")
        assert await stream.receive_some() == b"go"
        reset(stream)

    async with serving_tls(tmp_path, app) as port, port.client() as client:
        assert await client.receive() == b"half of "
        await client.send(b"go")
        with pytest.raises(EOFError):
            await client.receive()
    assert port.told == []


@trio_test
async def test_an_app_that_is_not_there_is_no_end_either(tmp_path: Path) -> None:
    async with serving_tls(tmp_path, None, patience=0.05) as port, port.client() as client:
        with pytest.raises(EOFError):
            await client.receive()
        assert port.told == ["ingress: the app did not listen within 0.05 s, a connection was dropped"]


@pytest.mark.slow
@trio_test
async def test_much_goes_both_ways_at_once(tmp_path: Path) -> None:
    async def echo(stream: trio.SocketStream) -> None:
        async for piece in stream:
            await stream.send_all(piece)

    data = bytes(range(256)) * 40_000
    received: list[bytes] = []
    async with serving_tls(tmp_path, echo) as port, port.client() as client, trio.open_nursery() as nursery:

        async def receive() -> None:
            received.append(await client.receive_all())

        nursery.start_soon(receive)
        await client.send(data)
        await client.end()
    assert received == [data]
