from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent.ingress import OpenEnclave, serve_ingress
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import port_of, read_all, serving


@asynccontextmanager
async def published(open_enclave: OpenEnclave, **options: float) -> AsyncIterator[tuple[int, list[str]]]:
    """The published port, and what was told."""
    told = list[str]()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            serve = functools.partial(
                serve_ingress,
                host="127.0.0.1",
                port=0,
                open_enclave_port=open_enclave,
                tell=told.append,
                patience=options.get("patience", 10.0),
                hold=options.get("hold", 0.0),
            )
            yield await nursery.start(serve), told
            nursery.cancel_scope.cancel()


async def upper(stream: trio.SocketStream) -> None:
    await stream.send_all((await read_all(stream)).upper())


@trio_test
async def test_clients_reach_the_enclave_and_half_close_is_kept() -> None:
    async with (
        serving(upper) as enclave,
        published(lambda: connect_tcp("127.0.0.1", enclave)) as (port, told),
        await connect_tcp("127.0.0.1", port) as client,
    ):
        await client.send_all(b"text")
        await client.send_eof()
        assert await read_all(client) == b"TEXT"
    assert told == []


@trio_test
async def test_early_clients_wait_for_the_enclave() -> None:
    attempts = 0
    async with serving(upper) as enclave:

        async def booting() -> trio.SocketStream:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                raise ConnectionRefusedError
            return await connect_tcp("127.0.0.1", enclave)

        async with published(booting) as (port, _), await connect_tcp("127.0.0.1", port) as client:
            await client.send_eof()
            assert await read_all(client) == b""
    assert attempts == 3


@trio_test
async def test_an_enclave_that_does_not_answer_is_told_of() -> None:
    async with (
        published(trio.sleep_forever, patience=0.05) as (port, told),
        await connect_tcp("127.0.0.1", port) as client,
    ):
        assert await read_all(client) == b""
    assert told == ["ingress: the enclave did not accept within 0.05 s, a connection was dropped"]


@trio_test
async def test_where_there_is_no_half_close_the_answer_is_waited_for() -> None:
    async def enclave_side(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        with trio.move_on_after(0.05) as open_still:
            await stream.receive_some()
        assert open_still.cancelled_caught
        await stream.send_all(b"answer")

    async with (
        serving(enclave_side) as enclave,
        published(lambda: connect_tcp("127.0.0.1", enclave), hold=5) as (port, _),
        await connect_tcp("127.0.0.1", port) as client,
    ):
        await client.send_all(b"question")
        await client.send_eof()
        assert await read_all(client) == b"answer"


@trio_test
async def test_a_port_that_is_taken_is_an_error() -> None:
    async with listen_tcp("127.0.0.1", 0) as taken:
        with pytest.raises(OSError, match="in use"):
            await serve_ingress(
                host="127.0.0.1", port=port_of(taken), open_enclave_port=trio.sleep_forever, tell=lambda _: None
            )
