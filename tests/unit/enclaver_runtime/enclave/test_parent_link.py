from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave.parent_link import ParentLink, open_egress
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Failed, Request
from enclaver_runtime.transport import vsock
from tests.unit.enclaver_runtime.net import read_all, unix_pair

REQUEST = Request("example.com", 443)


class Parent:
    """Answers on one CID; another one refuses, or never answers."""

    def __init__(self, cid: int, *, silent: bool = False) -> None:
        self._cid = cid
        self._silent = silent
        self.asked: list[tuple[int, int]] = []
        self.sides: list[trio.SocketStream] = []

    async def connect(self, cid: int, port: int) -> trio.SocketStream:
        self.asked.append((cid, port))
        if cid != self._cid:
            if self._silent:
                await trio.sleep_forever()
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        ours, theirs = unix_pair()
        self.sides.append(theirs)
        return ours

    async def close(self) -> None:
        for side in self.sides:
            await side.aclose()


@pytest.mark.parametrize("cid", [2, 3])
@pytest.mark.parametrize("silent", [False, True])
@trio_test
async def test_the_parent_is_found_once(cid: int, silent: bool) -> None:
    parent = Parent(cid, silent=silent)
    link = ParentLink(parent.connect)
    for _ in range(3):
        async with await link.open(7):
            pass
    assert {one for one in parent.asked if one[0] != cid} <= {(5 - cid, 7)}
    assert parent.asked[-2:] == [(cid, 7)] * 2
    await parent.close()


@trio_test
async def test_what_its_connections_can_do_is_known_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsock, "half_closes", lambda _: False)
    parent = Parent(2)
    link = ParentLink(parent.connect)
    before = link.half_closes
    async with await link.open(7):
        assert (before, link.half_closes) == (True, False)
    await parent.close()


@trio_test
async def test_a_parent_that_resets_its_first_connection_at_once_is_not_found_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reset(_: object) -> bool:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    parent = Parent(2)
    link = ParentLink(parent.connect, begin=lambda _cid, _port: socket.socket())
    with monkeypatch.context() as patch:
        patch.setattr(vsock, "half_closes", reset)
        with pytest.raises(OSError, match="not connected"):
            await link.open(7)
    assert link.begin(7) is None
    # Our end of it is closed.
    assert await read_all(parent.sides[0]) == b""
    async with await link.open(7):
        assert link.half_closes
    await parent.close()


@trio_test
async def test_a_connection_is_begun_only_to_a_parent_that_is_known() -> None:
    parent, begun = Parent(2), list[tuple[int, int]]()

    def begin(cid: int, port: int) -> socket.socket:
        begun.append((cid, port))
        return socket.socket()

    link = ParentLink(parent.connect, begin=begin)
    assert link.begin(7) is None
    async with await link.open(1):
        plain = link.begin(7)
        assert plain is not None
        plain.close()
    assert begun == [(2, 7)]
    without = ParentLink(parent.connect)
    async with await without.open(1):
        assert without.begin(7) is None
    await parent.close()


@trio_test
async def test_no_parent_at_all() -> None:
    with pytest.raises(ConnectionResetError):
        await ParentLink(Parent(9).connect).open(7)
    with pytest.raises(TimeoutError, match="the parent's port 7 does not answer"):
        await ParentLink(Parent(9, silent=True).connect, timeout=0.01).open(7)
    failed = await open_egress(ParentLink(Parent(9).connect), REQUEST)
    assert failed == Failed(errno.ECONNRESET, "the parent's egress service cannot be reached: Connection reset by peer")


async def asked(answer: Callable[[trio.SocketStream], Awaitable[None]], timeout: float = 5) -> bytes | Failed:
    """What a request comes to, when the parent has read it and done ``answer``: what follows, or the failure."""
    parent = Parent(3)
    results: list[trio.SocketStream | Failed] = []

    async def ask() -> None:
        results.append(await open_egress(ParentLink(parent.connect), REQUEST, timeout=timeout))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not parent.sides:
            await trio.sleep(0)
        side = parent.sides[0]
        wanted = frames.format_request(REQUEST)
        got = b""
        while len(got) < len(wanted):
            got += await side.receive_some()
        assert got == wanted
        await answer(side)
    result = results[0]
    if isinstance(result, Failed):
        assert await read_all(side) == b""
        await parent.close()
        return result
    await parent.close()
    async with result:
        return await read_all(result)


@trio_test
async def test_what_follows_the_answer_is_not_read() -> None:
    async def connected(side: trio.SocketStream) -> None:
        await side.send_all(frames.format_answer(Connected()) + b"220 hello")

    assert await asked(connected) == b"220 hello"


@trio_test
async def test_the_parents_failure_is_told() -> None:
    async def fail(side: trio.SocketStream) -> None:
        await side.send_all(frames.format_answer(Failed(111, "refused")))

    assert await asked(fail) == Failed(111, "refused")


@trio_test
async def test_a_parent_that_errs() -> None:
    async def garbage(side: trio.SocketStream) -> None:
        await side.send_all(b"\x02\x00{}")

    async def hang_up(side: trio.SocketStream) -> None:
        await side.send_eof()

    async def nothing(side: trio.SocketStream) -> None:
        await trio.sleep(0)

    for errs in (garbage, hang_up):
        result = await asked(errs)
        assert isinstance(result, Failed)
        assert (result.os_code, "another protocol" in result.message) == (errno.EPROTO, True)
    assert await asked(nothing, timeout=0.01) == Failed(
        errno.ETIMEDOUT, "the parent's egress service gave no answer within 0.01 s"
    )
