"""What test_pump.py, which has the behaviour of relays, does not reach: a channel's own beginning and end."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.transport.relay.channel import Channel
from enclaver_runtime.transport.relay.flow import Means
from enclaver_runtime.transport.relay.loop import Loop, open_loop

#: What a channel came to, once it has.
Ends = list[bool]


def make(loop: Loop, **options: bytes) -> tuple[socket.socket, socket.socket, Channel, Ends]:
    client, left = socket.socketpair()
    server, right = socket.socketpair()
    for one in (client, left, server, right):
        one.setblocking(False)
    ends: Ends = []
    channel = Channel(loop, Means(), left, right, half_open=600, hold=0, on_end=ends.append, **options)
    return client, server, channel, ends


async def receive(plain: socket.socket) -> bytes:
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(plain)
    return plain.recv(1 << 20)


@trio_test
async def test_what_was_said_before_comes_first() -> None:
    async with open_loop() as loop:
        client, server, _, ends = make(loop, to_left=b"hello client ", to_right=b"hello server ")
        with client, server:
            client.send(b"question")
            server.send(b"answer")
            said = [b"", b""]
            while len(said[0]) < 19 or len(said[1]) < 21:
                said[0] += await receive(client) if len(said[0]) < 19 else b""
                said[1] += await receive(server) if len(said[1]) < 21 else b""
            assert said == [b"hello client answer", b"hello server question"]
    assert ends == []


@trio_test
async def test_a_side_that_has_gone_before_the_beginning_ends_it() -> None:
    async with open_loop() as loop:
        client, left = socket.socketpair()
        server, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        client.close()
        ends: Ends = []
        with server:
            Channel(loop, Means(), left, right, to_left=b"x", half_open=600, hold=0, on_end=ends.append)
            # What it had sent, nothing, is passed on.
            assert await receive(server) == b""
            while not ends:
                await trio.sleep(0)
    assert ends == [False]


@pytest.mark.parametrize("times", [1, 2])
@trio_test
async def test_closing_ends_both_sides_at_once_and_tells_nobody(times: int) -> None:
    async with open_loop() as loop:
        client, server, channel, ends = make(loop)
        with client, server:
            for _ in range(times):
                channel.close()
            assert (await receive(client), await receive(server)) == (b"", b"")
    assert ends == []
