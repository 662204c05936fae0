from __future__ import annotations

import errno
import functools
import logging

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.transport import server
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import Handler, port_of, read_all


async def start(nursery: trio.Nursery, handler: Handler, limit: int = server.MAX_CONNECTIONS) -> int:
    listener = listen_tcp("127.0.0.1", 0)
    await nursery.start(functools.partial(server.serve, handler, [listener], max_connections=limit))
    return port_of(listener)


@trio_test
async def test_streams_are_closed_and_failures_of_one_are_its_own() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        what = await stream.receive_some(1)
        if what == b"o":
            raise OSError("broken")
        if what == b"b":
            raise trio.BrokenResourceError
        await stream.send_all(b"fine")

    async with trio.open_nursery() as nursery:
        port = await start(nursery, handler)
        for what, answer in ((b"o", b""), (b"b", b""), (b"f", b"fine")):
            async with await connect_tcp("127.0.0.1", port) as stream:
                await stream.send_all(what)
                assert await read_all(stream) == answer
        nursery.cancel_scope.cancel()


@trio_test
async def test_connections_beyond_the_limit_are_closed() -> None:
    async with trio.open_nursery() as nursery:

        async def handler(stream: trio.SocketStream) -> None:
            await stream.send_all(b"x")
            await stream.receive_some()

        port = await start(nursery, handler, limit=1)
        async with await connect_tcp("127.0.0.1", port) as first:
            assert await first.receive_some() == b"x"
            async with await connect_tcp("127.0.0.1", port) as second:
                assert await read_all(second) == b""
            await first.send_eof()
            assert await read_all(first) == b""
        async with await connect_tcp("127.0.0.1", port) as third:
            assert await third.receive_some() == b"x"
        nursery.cancel_scope.cancel()


@trio_test
async def test_other_failures_are_not_hidden() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        raise RuntimeError("a defect")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            port = await start(nursery, handler)
            async with await connect_tcp("127.0.0.1", port) as stream:
                await read_all(stream)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup):
        await main()


@trio_test
async def test_without_files_those_that_come_wait_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = [errno.EMFILE, errno.ENOMEM]

    accept = trio.SocketListener.accept

    async def failing(self: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise OSError(failures.pop(), "none left")
        return await accept(self)

    async def handler(stream: trio.SocketStream) -> None:
        await stream.send_all(b"fine")

    # What pytest has there would keep the last resort, standard error, from being used.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(trio.SocketListener, "accept", failing)
    async with trio.open_nursery() as nursery:
        port = await start(nursery, handler)
        async with await connect_tcp("127.0.0.1", port) as stream:
            assert await read_all(stream) == b"fine"
        nursery.cancel_scope.cancel()
    assert failures == []
    assert capsys.readouterr().err == ""
