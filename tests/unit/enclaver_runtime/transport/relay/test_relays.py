"""test_pump.py has how relays behave; here is what they take over and leave behind."""

from __future__ import annotations

import os

import trio
from trio.testing import trio_test

from enclaver_runtime.transport.connections import listen_tcp
from enclaver_runtime.transport.relay.relays import open_relays, plain_of
from tests.unit.enclaver_runtime.net import read_all, tcp_pair, unix_pair


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@trio_test
async def test_streams_and_listeners_lose_their_sockets() -> None:
    left, right = unix_pair()
    async with left, right, listen_tcp("127.0.0.1", 0) as listener:
        for holder in (left, listener):
            with plain_of(holder) as plain:
                assert plain.fileno() != -1
                assert holder.socket.fileno() == -1
        assert await read_all(right) == b""


@trio_test
async def test_nothing_is_left_open_by_many_relays() -> None:
    for count in (1, 100):
        # The first one's round opens what the process keeps, such as pytest's own.
        before = open_files()
        await relay_often(count)
    assert open_files() == before


async def relay_often(count: int) -> None:
    async with open_relays() as relays:
        for _ in range(count):
            client, left = await tcp_pair()
            server, right = unix_pair()
            async with client, server, trio.open_nursery() as nursery:
                nursery.start_soon(relays.run, left, right)
                await client.send_all(bytes(300_000))
                await client.send_eof()
                assert len(await read_all(server)) == 300_000
                await server.send_eof()
                assert await read_all(client) == b""


@trio_test
async def test_relays_end_with_the_block() -> None:
    client, left = await tcp_pair()
    server, right = unix_pair()
    async with client, server, trio.open_nursery() as nursery:
        async with open_relays() as relays, trio.open_nursery() as inner:
            inner.start_soon(relays.run, left, right)
            await client.send_all(b"x")
            assert await server.receive_some() == b"x"
            inner.cancel_scope.cancel()
        assert await read_all(server) == b""
        assert await read_all(client) == b""
        nursery.cancel_scope.cancel()
