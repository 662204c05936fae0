from __future__ import annotations

import errno
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave.app_port import ConnectApp
from enclaver_runtime.enclave.ingress import serve_port
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import port_of, read_all, serving


@asynccontextmanager
async def ingress(folder: Path, connect: ConnectApp, patience: float = 10) -> AsyncIterator[tuple[str, list[str]]]:
    """The enclave's port as the path of a unix socket, and what was told."""
    path, told = str(folder / "vm"), list[str]()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                functools.partial(
                    serve_port,
                    listener=vsock.listen_hybrid(path, 1),
                    connect_app=connect,
                    tell=told.append,
                    patience=patience,
                )
            )
            yield f"{path}_1", told
            nursery.cancel_scope.cancel()


async def upper(stream: trio.SocketStream) -> None:
    await stream.send_all((await read_all(stream)).upper())


@trio_test
async def test_connections_reach_the_app_and_half_close_is_kept(tmp_path: Path) -> None:
    async with (
        serving(upper) as port,
        ingress(tmp_path, lambda: connect_tcp("127.0.0.1", port)) as (path, told),
    ):
        for text in (b"one", b"two"):
            async with await trio.open_unix_socket(path) as client:
                await client.send_all(text)
                await client.send_eof()
                assert await read_all(client) == text.upper()
    assert told == []


@trio_test
async def test_early_connections_wait_for_the_app(tmp_path: Path) -> None:
    spare = listen_tcp("127.0.0.1", 0)
    port = port_of(spare)
    await spare.aclose()
    async with (
        ingress(tmp_path, lambda: connect_tcp("127.0.0.1", port)) as (path, told),
        await trio.open_unix_socket(path) as client,
        trio.open_nursery() as nursery,
    ):
        await client.send_all(b"early")
        await client.send_eof()
        await trio.sleep(0.1)
        nursery.start_soon(trio.serve_listeners, closing_upper, [listen_tcp("127.0.0.1", port)])
        assert await read_all(client) == b"EARLY"
        nursery.cancel_scope.cancel()
    assert told == []


async def closing_upper(stream: trio.SocketStream) -> None:
    async with stream:
        await upper(stream)


async def refuse(code: int) -> trio.SocketStream:
    raise OSError(code, "no")


@pytest.mark.parametrize(
    ("code", "what"), [(errno.ECONNREFUSED, "did not listen within 0.05 s"), (errno.EMFILE, "cannot be reached")]
)
@trio_test
async def test_an_app_that_is_not_there_is_told_of(tmp_path: Path, code: int, what: str) -> None:
    async with (
        ingress(tmp_path, lambda: refuse(code), patience=0.05) as (path, told),
        await trio.open_unix_socket(path) as client,
    ):
        assert await read_all(client) == b""
    assert len(told) == 1
    assert what in told[0]
