"""How relays behave: the plain pump and the loop's, by the same tests."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import trio_test

from enclaver_runtime.transport.pump import pump
from enclaver_runtime.transport.relay.relays import open_relays
from tests.unit.enclaver_runtime.net import read_all, tcp_pair, unix_pair

Pair = tuple[trio.SocketStream, trio.SocketStream]


async def tcp() -> Pair:
    return await tcp_pair()


async def unix() -> Pair:
    return unix_pair()


class Relay:
    """A client and a server with a relay between them."""

    def __init__(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        self.client = client
        self.server = server
        self.scope = trio.CancelScope()
        self.done = trio.Event()
        self.complete: bool | None = None


async def plainly(left: trio.SocketStream, right: trio.SocketStream, half_open: float, hold: float) -> bool:
    return await pump(left, right, half_open=half_open, hold=hold)


async def by_a_loop(left: trio.SocketStream, right: trio.SocketStream, half_open: float, hold: float) -> bool:
    async with open_relays(half_open=half_open) as relays:
        return await relays.run(left, right, hold=hold)


Way = Callable[[trio.SocketStream, trio.SocketStream, float, float], Awaitable[bool]]


class Relaying(Protocol):
    def __call__(
        self, left: Pair, right: Pair, *, half_open: float = 600, hold: float = 0
    ) -> AbstractAsyncContextManager[Relay]: ...


@pytest.fixture(params=[plainly, by_a_loop])
def relaying(request: pytest.FixtureRequest) -> Relaying:
    """Both ways of relaying, which behave the same."""
    way: Way = request.param

    @asynccontextmanager
    async def relaying(left: Pair, right: Pair, *, half_open: float = 600, hold: float = 0) -> AsyncIterator[Relay]:
        relay = Relay(left[0], right[0])

        async def run() -> None:
            with relay.scope:
                async with left[1], right[1]:
                    relay.complete = await way(left[1], right[1], half_open, hold)
            relay.done.set()

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                async with relay.client, relay.server:
                    yield relay
                nursery.cancel_scope.cancel()

    return relaying


KINDS = [pytest.param((tcp, unix), id="in"), pytest.param((unix, tcp), id="out"), pytest.param((tcp, tcp), id="tcp")]
Kinds = tuple[Callable[[], Awaitable[Pair]], Callable[[], Awaitable[Pair]]]
kinds = pytest.mark.parametrize("kinds", KINDS)


@kinds
@trio_test
async def test_each_end_is_passed_on_while_the_other_direction_goes_on(relaying: Relaying, kinds: Kinds) -> None:
    async with relaying(await kinds[0](), await kinds[1]()) as relay:
        await relay.client.send_all(b"question")
        await relay.client.send_eof()
        assert await read_all(relay.server) == b"question"
        await trio.sleep(0.01)
        assert not relay.done.is_set()
        await relay.server.send_all(b"answer")
        await relay.server.send_eof()
        assert await read_all(relay.client) == b"answer"
        await relay.done.wait()
    assert relay.complete is True


@pytest.mark.slow
@kinds
@trio_test
async def test_much_goes_both_ways_at_once_in_small_buffers_and_large(relaying: Relaying, kinds: Kinds) -> None:
    up, down = bytes(range(256)) * 20_000, bytes(range(255, -1, -1)) * 20_000
    async with relaying(await kinds[0](), await kinds[1]()) as relay, trio.open_nursery() as nursery:
        received: dict[str, bytes] = {}

        async def send(stream: trio.SocketStream, data: bytes) -> None:
            await stream.send_all(data)
            await stream.send_eof()

        async def receive(name: str, stream: trio.SocketStream) -> None:
            received[name] = await read_all(stream)

        nursery.start_soon(send, relay.client, up)
        nursery.start_soon(send, relay.server, down)
        nursery.start_soon(receive, "up", relay.server)
        nursery.start_soon(receive, "down", relay.client)
    assert received == {"up": up, "down": down}
    assert relay.complete is True


#: What one side does: pieces that it sends, by size, with a turn for others after some, then its end; and how much it
#: reads at a time, with turns for others in between.
Behaviour = tuple[list[tuple[int, bool]], int, bool]
BEHAVIOURS = st.tuples(
    st.lists(st.tuples(st.one_of(st.integers(1, 100), st.integers(100_000, 400_000)), st.booleans()), max_size=4),
    st.sampled_from([1000, 65536, 1 << 20]),
    st.booleans(),
)


async def behave(stream: trio.SocketStream, behaviour: Behaviour, received: bytearray) -> None:
    pieces, at_once, slowly = behaviour

    async def say() -> None:
        for number, (size, pause) in enumerate(pieces):
            await stream.send_all(bytes([number + 1]) * size)
            if pause:
                await trio.sleep(0.002)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say)
        while data := await stream.receive_some(at_once):
            received.extend(data)
            if slowly:
                await trio.sleep(0)


@pytest.mark.slow
@pytest.mark.parametrize("way", [plainly, by_a_loop])
@settings(deadline=None, max_examples=25)
@given(BEHAVIOURS, BEHAVIOURS, st.sampled_from([(tcp, unix), (unix, tcp), (tcp, tcp)]))
def test_whoever_says_what_and_reads_it_when_all_of_it_arrives_in_order(
    way: Way, left: Behaviour, right: Behaviour, kinds: Kinds
) -> None:
    async def main() -> None:
        heard = bytearray(), bytearray()
        client, server = await kinds[0](), await kinds[1]()
        with trio.fail_after(20):
            async with client[0], client[1], server[0], server[1], trio.open_nursery() as nursery:
                nursery.start_soon(behave, client[0], left, heard[0])
                nursery.start_soon(behave, server[0], right, heard[1])
                assert await way(client[1], server[1], 600, 0)
        for (pieces, *_), got in zip((right, left), heard, strict=True):
            assert got == b"".join(bytes([number + 1]) * size for number, (size, _) in enumerate(pieces))

    trio.run(main)


@trio_test
async def test_a_slow_reader_holds_the_writer_up_and_little_is_buffered(relaying: Relaying) -> None:
    async with relaying(unix_pair(), unix_pair()) as relay:
        sent = 0
        with trio.move_on_after(0.2):
            while True:
                sent += await relay.client.socket.send(bytes(65536))
        assert sent < 2_000_000
        with trio.move_on_after(0.2) as quiet:
            received = 0
            while received < sent:
                received += len(await relay.server.receive_some())
        assert not quiet.cancelled_caught


@pytest.mark.parametrize("side", ["client", "server"])
@trio_test
async def test_a_reset_is_passed_on_as_one(relaying: Relaying, side: str) -> None:
    async with relaying(await tcp_pair(), await tcp_pair()) as relay:
        failing, other = (relay.client, relay.server) if side == "client" else (relay.server, relay.client)
        await failing.send_all(b"half of ")
        assert await other.receive_some() == b"half of "
        failing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await failing.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await read_all(other)
        await relay.done.wait()
    assert relay.complete is False


@trio_test
async def test_a_reset_after_an_end_is_noticed_though_nothing_moves(relaying: Relaying) -> None:
    async with relaying(await tcp_pair(), unix_pair()) as relay:
        await relay.client.send_eof()
        assert await read_all(relay.server) == b""
        relay.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await relay.client.aclose()
        await relay.done.wait()
    assert relay.complete is False


@trio_test
async def test_a_client_that_closes_altogether_loses_nothing_and_ends_it(relaying: Relaying) -> None:
    async with relaying(unix_pair(), await tcp_pair()) as relay:
        await relay.client.send_all(b"last words")
        await relay.client.aclose()
        assert await read_all(relay.server) == b"last words"
        await relay.done.wait()
    assert relay.complete is False


@pytest.mark.parametrize("kind", [tcp, unix])
@trio_test
async def test_the_last_words_of_a_side_that_takes_no_more_are_passed_on(
    relaying: Relaying, kind: Callable[[], Awaitable[Pair]]
) -> None:
    async with relaying(await tcp_pair(), await kind()) as relay, trio.open_nursery() as nursery:

        async def upload() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await relay.client.send_all(bytes(65536))

        nursery.start_soon(upload)
        assert await relay.server.receive_some()
        await relay.server.send_all(b"too much")
        await relay.server.aclose()
        assert await relay.client.receive_some() == b"too much"
        await relay.done.wait()


@trio_test
async def test_silence_after_an_end_ends_it(relaying: Relaying) -> None:
    async with relaying(await tcp_pair(), await tcp_pair(), half_open=0.1) as relay:
        await trio.sleep(0.15)
        await relay.client.send_eof()
        for _ in range(3):
            await trio.sleep(0.06)
            await relay.server.send_all(b"x")
        assert not relay.done.is_set()
        await relay.done.wait()
        assert await read_all(relay.client) == b"xxx"
    assert relay.complete is False


@trio_test
async def test_without_half_close_an_end_is_held_back_and_then_ends_it(relaying: Relaying) -> None:
    async with relaying(await tcp_pair(), unix_pair(), hold=0.1) as relay:
        await relay.client.send_all(b"q")
        await relay.client.send_eof()
        assert await relay.server.receive_some() == b"q"
        for _ in range(3):
            with trio.move_on_after(0.06) as open_still:
                await relay.server.receive_some()
            assert open_still.cancelled_caught
            await relay.server.send_all(b"a")
        assert await read_all(relay.server) == b""
        assert await read_all(relay.client) == b"aaa"
        await relay.done.wait()


@trio_test
async def test_without_half_close_both_ends_end_it_at_once(relaying: Relaying) -> None:
    async with relaying(await tcp_pair(), unix_pair(), hold=100) as relay:
        await relay.server.send_eof()
        assert await read_all(relay.client) == b""
        await relay.client.send_eof()
        assert await read_all(relay.server) == b""
        await relay.done.wait()
    assert relay.complete is True


@trio_test
async def test_cancelling_closes_both_sides(relaying: Relaying) -> None:
    async with relaying(unix_pair(), unix_pair()) as relay:
        await relay.client.send_all(b"x")
        assert await relay.server.receive_some() == b"x"
        relay.scope.cancel()
        assert await read_all(relay.server) == b""
        assert await read_all(relay.client) == b""
    assert relay.complete is None


@pytest.mark.parametrize("before", [0, 1 << 20])
@trio_test
async def test_urgent_data_does_not_stop_what_comes_behind_it(relaying: Relaying, before: int) -> None:
    async with relaying(await tcp_pair(), await tcp_pair()) as relay:
        for word in (b"one", b"two"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay.client.send_all, bytes(before))
                left = before
                while left:
                    left -= len(await relay.server.receive_some(left))
            await relay.client.socket.send(b"!", socket.MSG_OOB)
            await relay.client.send_all(word)
            assert await relay.server.receive_some(3) == word


@trio_test
async def test_without_files_to_notice_a_hang_up_by_the_other_direction_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(errno.EMFILE, "none left")

    (client, left), (server, right) = unix_pair(), unix_pair()
    async with client, left, server, right, trio.open_nursery() as nursery:
        nursery.start_soon(pump, left, right)
        with monkeypatch.context() as patched:
            patched.setattr(select, "epoll", fail)
            await client.send_eof()
            assert await server.receive_some(1) == b""
            await trio.testing.wait_all_tasks_blocked()
            await server.send_all(b"answer")
            assert await client.receive_some(6) == b"answer"
        await server.send_eof()
        assert await client.receive_some(1) == b""
