from __future__ import annotations

import errno
import functools
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from enclaver_runtime.transport.relay import reception, visits
from enclaver_runtime.transport.relay.relays import Relay, open_relays
from enclaver_runtime.transport.relay.visits import Steps
from tests.unit.enclaver_runtime.net import port_of, read_all

Visiting = Callable[[socket.socket], Steps[Relay | bytes | None]]


async def shout(stream: trio.SocketStream, said: bytes) -> None:
    if said == b"fail":
        raise trio.BrokenResourceError
    await stream.send_all(said.upper())


def first_word(client: socket.socket) -> Steps[Relay | bytes | None]:
    """`relay` is relayed to an echo; `bye` comes to nothing; other words are for a task."""
    said = yield from visits.receive(client, 5, trio.current_time() + 50)
    if said == b"relay":
        near, far = socket.socketpair()
        near.setblocking(False)
        far.sendall(b"from afar")
        far.close()
        return Relay(client, near, to_left=b"hello ")
    return None if said == b"bye" else said


@asynccontextmanager
async def receiving(visit: Visiting = first_word, *, most: int = 10) -> AsyncIterator[int]:
    listener = listen_tcp("127.0.0.1", 0)
    port = port_of(listener)
    with trio.fail_after(20):
        async with open_relays() as relays, trio.open_nursery() as nursery:
            serve = functools.partial(
                reception.serve, [listener], relays=relays, visit=visit, task=shout, max_connections=most
            )
            await nursery.start(serve)
            yield port
            nursery.cancel_scope.cancel()


async def say(port: int, word: bytes) -> bytes:
    async with await connect_tcp("127.0.0.1", port) as client:
        await client.send_all(word)
        await client.send_eof()
        return await read_all(client)


@trio_test
async def test_a_visit_comes_to_a_relay_a_task_or_nothing() -> None:
    # Room for one: each gives its place back, however it ends.
    async with receiving(most=1) as port:
        for _ in range(3):
            assert await say(port, b"relay") == b"hello from afar"
            assert await say(port, b"other") == b"OTHER"
            assert await say(port, b"bye") == b""
            assert await say(port, b"fail") == b""


@trio_test
async def test_more_than_there_is_room_for_are_closed_as_they_come() -> None:
    async with receiving(most=2) as port:
        async with await connect_tcp("127.0.0.1", port) as one, await connect_tcp("127.0.0.1", port) as two:
            assert await say(port, b"") == b""
            await one.send_all(b"a")
            await two.send_all(b"b")
            assert (await read_all(one), await read_all(two)) == (b"A", b"B")
        assert await say(port, b"again") == b"AGAIN"


def test_without_files_those_that_come_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = socket.socket.accept
    failures = [errno.EMFILE, errno.ENOMEM, errno.ENFILE, errno.ENOBUFS]

    def failing(self: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise OSError(failures.pop(), "none left")
        return accept(self)

    async def main() -> None:
        monkeypatch.setattr(socket.socket, "accept", failing)
        async with receiving() as port:
            start = trio.current_time()
            assert await say(port, b"word") == b"WORD"
            # The listener stays readable all the time, but nobody goes round in circles.
            assert trio.current_time() - start >= 4 * reception._PAUSE_SECONDS

    trio.run(main, clock=MockClock(rate=10))
    assert failures == []


@pytest.fixture
def no_more_files() -> Iterator[Callable[[], list[int]]]:
    """Takes all files that this process may have, and returns what it took."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def take_all() -> list[int]:
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, limits[1]))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        return taken

    yield take_all
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.slow
@trio_test
async def test_without_files_the_listener_is_not_asked_over_and_over(
    no_more_files: Callable[[], list[int]],
) -> None:
    async with receiving() as port:
        taken = no_more_files()
        os.close(taken.pop())
        async with await connect_tcp("127.0.0.1", port) as client:
            await client.send_all(b"word")
            start = time.process_time()
            await trio.sleep(0.5)
            assert time.process_time() - start < 0.25
            for file in taken:
                os.close(file)
            assert await read_all(client) == b"WORD"


@trio_test
async def test_the_end_of_the_service_closes_every_client() -> None:
    async with receiving() as port:
        client = await connect_tcp("127.0.0.1", port)
        await client.send_all(b"")
        await trio.testing.wait_all_tasks_blocked()
    async with client:
        assert await read_all(client) == b""
    with pytest.raises(ConnectionRefusedError):
        await connect_tcp("127.0.0.1", port)


@trio_test
async def test_a_defect_of_a_visit_is_not_hidden() -> None:
    def fail(client: socket.socket) -> Steps[Relay | bytes | None]:
        yield from visits.receive(client, 1, trio.current_time() + 50)
        raise RuntimeError("a defect")

    async def run() -> None:
        async with receiving(fail) as port:
            await say(port, b"x")
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(RuntimeError, match="a defect")


@trio_test
async def test_what_comes_in_the_turn_in_which_it_ends_is_closed() -> None:
    # Who is first in a turn is left to chance: many times, both orders.
    for _ in range(20):
        with trio.move_on_after(60) as scope:
            async with receiving() as port:
                client = await connect_tcp("127.0.0.1", port)
                await trio.testing.wait_all_tasks_blocked(0.001)
                os.write(client.socket.fileno(), b"other")
                scope.deadline = trio.current_time()
                await trio.sleep_forever()
        async with client:
            with suppress(trio.BrokenResourceError):
                await read_all(client)
