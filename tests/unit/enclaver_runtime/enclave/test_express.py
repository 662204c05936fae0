"""test_egress.py has both ways side by side; here is what the short one leaves to the long one, and what it closes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.enclave import express
from enclaver_runtime.enclave.express import Begun, Express
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Failed, Request
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import open_loop
from enclaver_runtime.transport.relay.relays import Relay

HEAD = b"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"
FRAME = frames.format_request(Request("a.example", 443))


async def known(cid: int, port: int) -> trio.SocketStream:
    """The parent is CID 3, whatever is asked of it."""
    if cid != 3:
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    near, far = socket.socketpair()
    far.close()
    near.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(near))


def silent() -> socket.socket:
    raise AssertionError("the parent is not asked")


async def visit(
    received: bytes, begin: Callable[[], socket.socket] = silent, *, knows: bool = True
) -> tuple[Relay | Begun | None, float]:
    """What a visit comes to, and the time at its beginning."""
    link = ParentLink(known, begin=lambda _cid, _port: begin())
    if knows:
        await (await link.open(1)).aclose()
    client, near = socket.socketpair()
    near.setblocking(False)
    client.send(received)
    if not received:
        client.close()
    start = trio.current_time()
    async with open_loop() as loop:
        way = Express(loop, policy=Policy(allow=["**.example"]), link=link, idle_timeout=7, hold=1)
        result = await visits.drive(way.visit(near))
    client.close()
    if isinstance(result, Relay):
        assert result.left is near
        result.right.close()
    near.close()
    return result, start


class Parent:
    """Answers a request's frame, or goes away."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.far: socket.socket | None = None

    def begin(self) -> socket.socket:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        if self._answer is None:
            self.far.close()
        else:
            self.far.send(self._answer)
        return near

    def close(self) -> bytes:
        """What it was sent, up to the end."""
        assert self.far is not None
        received = b""
        while piece := self.far.recv(4096):
            received += piece
        self.far.close()
        return received


@trio_test
async def test_a_plain_tunnel_to_where_it_may_go() -> None:
    parent = Parent(frames.format_answer(Connected()))
    result, _ = await visit(HEAD + b"early", parent.begin)
    assert isinstance(result, Relay)
    assert (result.to_left, result.to_right, result.hold) == (
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"early",
        0,
    )
    assert parent.close() == FRAME


@trio_test
async def test_what_is_known_is_asked_for_again_and_what_is_not_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(express, "_TARGETS", 2)
    parents: list[Parent] = []

    def begin(_cid: int, _port: int) -> socket.socket:
        parents.append(Parent(frames.format_answer(Connected())))
        return parents[-1].begin()

    link = ParentLink(known, begin=begin)
    await (await link.open(1)).aclose()
    async with open_loop() as loop:
        way = Express(loop, policy=Policy(allow=["**.example"]), link=link, idle_timeout=7, hold=1)
        for host in (b"a", b"b", b"a", b"c", b"a", b"c"):
            for early in (b"", b"early", b""):
                client, near = socket.socketpair()
                near.setblocking(False)
                client.send(b"CONNECT %s.example:443 HTTP/1.1\r\nHost: x\r\n\r\n" % host + early)
                result = await visits.drive(way.visit(near))
                assert isinstance(result, Relay)
                assert result.to_right == early
                for one in (client, near, result.right):
                    one.close()
                assert parents.pop().close() == frames.format_request(Request(f"{host.decode()}.example", 443))
        assert len(way._known) <= 2
        assert not any(head.endswith(b"early") for head in way._known)
        for received in (
            b"GET http://a.example/ HTTP/1.1\r\nAuthorization: x\r\n\r\n",
            HEAD.replace(b"example", b"test"),
        ):
            client, near = socket.socketpair()
            near.setblocking(False)
            with client, near:
                client.send(received)
                assert isinstance(await visits.drive(way.visit(near)), Begun)
            assert received not in way._known


@trio_test
async def test_who_says_nothing_gets_nothing() -> None:
    assert (await visit(b""))[0] is None


@pytest.mark.parametrize(
    "received",
    [HEAD[:-1], b"GET http://a.example/ HTTP/1.1\r\n", HEAD.replace(b"example", b"test"), HEAD.replace(b":443", b"")],
)
@trio_test
async def test_what_is_not_plain_or_not_allowed_is_left_as_it_came(received: bytes) -> None:
    result, start = await visit(received)
    assert isinstance(result, Begun)
    assert (result.received, result.failure) == (received, None)
    assert result.until - start == pytest.approx(7, abs=1)


@trio_test
async def test_while_the_parent_is_not_known_it_is_left_to_the_long_way() -> None:
    result, _ = await visit(HEAD, knows=False)
    assert isinstance(result, Begun)
    assert result.failure is None


@trio_test
async def test_a_parent_that_cannot_connect_says_so() -> None:
    parent = Parent(frames.format_answer(Failed(111, "refused")))
    result, _ = await visit(HEAD, parent.begin)
    assert isinstance(result, Begun)
    assert (result.received, result.failure) == (HEAD, Failed(111, "refused"))
    assert parent.close() == FRAME


def refuse() -> socket.socket:
    raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


@pytest.mark.parametrize(
    ("begin", "code"), [(refuse, errno.ECONNREFUSED), (Parent(None).begin, errno.ECONNRESET)], ids=["refused", "gone"]
)
@trio_test
async def test_a_parent_that_is_not_there(begin: Callable[[], socket.socket], code: int) -> None:
    result, _ = await visit(HEAD, begin)
    assert isinstance(result, Begun)
    assert result.failure is not None
    assert result.failure.os_code == code


def test_a_parent_that_does_not_answer() -> None:
    parent = Parent(b"")
    result, _ = trio.run(visit, HEAD, parent.begin, clock=MockClock(autojump_threshold=0))
    assert isinstance(result, Begun)
    assert result.failure is not None
    assert result.failure.os_code == errno.ETIMEDOUT
    assert parent.close() == FRAME
