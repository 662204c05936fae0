from __future__ import annotations

import socket
import threading

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.transport.connections import connect_tcp, is_quiet, listen_tcp
from enclaver_runtime.transport.pump import reset
from tests.unit.enclaver_runtime.net import port_of, tcp_pair


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@trio_test
async def test_a_connection_without_a_thread(address: str) -> None:
    threads = threading.active_count()
    async with listen_tcp(address, 0) as listener:
        async with await connect_tcp(address, port_of(listener)) as left, await listener.accept() as right:
            await left.send_all(b"x")
            assert await right.receive_some() == b"x"
            assert left.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(OSError, match="in use"):
            listen_tcp(address, port_of(listener))
    with pytest.raises(ConnectionRefusedError):
        await connect_tcp(address, 1)
    assert threading.active_count() == threads


@trio_test
async def test_names_are_no_addresses() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        await connect_tcp("localhost", 1)
    with pytest.raises(ValueError, match="does not appear"):
        listen_tcp("localhost", 0)


@pytest.mark.parametrize("event", ["bytes", "an end", "a reset"])
@trio_test
async def test_a_connection_is_quiet_until_something_comes(event: str) -> None:
    near, far = await tcp_pair()
    async with near, far:
        assert is_quiet(near)
        if event == "bytes":
            await far.send_all(b"x")
        elif event == "an end":
            await far.send_eof()
        else:
            reset(far)
            await far.aclose()
        await trio.lowlevel.wait_readable(near.socket)
        assert not is_quiet(near)
