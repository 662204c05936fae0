from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.parent import connect
from enclaver_runtime.parent.connect import open_permitted
from enclaver_runtime.protocol.frames import Failed
from enclaver_runtime.protocol.hosts import Address
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport.connections import listen_tcp
from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import open_loop
from tests.unit.enclaver_runtime.net import port_of, serving, unix_pair


class World:
    """A resolver and a network: what names resolve to, and which addresses answer."""

    def __init__(self, names: dict[str, list[str]], answering: Sequence[str] = ()) -> None:
        self._names = names
        self._answering = answering
        self.tried: list[str] = []
        self.asked: list[str] = []

    async def resolve(self, name: str) -> Sequence[Address]:
        self.asked.append(name)
        if name == "slow.example":
            await trio.sleep_forever()
        if name not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ipaddress.ip_address(text) for text in self._names[name]]

    async def connect(self, address: str, port: int) -> trio.SocketStream:
        self.tried.append(address)
        if address not in self._answering:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        stream, other = unix_pair()
        await other.aclose()
        return stream

    async def open(self, host: str, *, allow: list[str], deny: Sequence[str] = (), timeout: float = 5) -> str | Failed:
        """The address that a stream leads to, or the failure."""
        policy = Policy(allow=allow, deny=deny)
        result = await open_permitted(
            host, 443, policy=policy, resolve=self.resolve, connect=self.connect, timeout=timeout, stagger=0.01
        )
        if isinstance(result, Failed):
            return result
        await result.aclose()
        return self.tried[-1]


@trio_test
async def test_only_permitted_addresses_are_tried_families_by_turns() -> None:
    addresses = ["192.0.2.1", "192.0.2.2", "127.0.0.1", "192.0.2.1", "10.0.0.1", "2001:db8::1", "fe80::1"]
    world = World({"a.example": addresses}, answering=["192.0.2.2"])
    assert await world.open("A.Example.", allow=["**"], deny=["10.0.0.0/8"]) == "192.0.2.2"
    assert world.asked == ["a.example"]
    assert world.tried == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]


@trio_test
async def test_a_name_that_leads_inside_is_blocked_and_nothing_tried() -> None:
    world = World({"rebind.example": ["169.254.169.254", "127.0.0.1"]})
    assert await world.open("rebind.example", allow=["**"]) == Failed(
        errno.EACCES,
        "blocked by egress security policy: rebind.example is 169.254.169.254, a link-local address that "
        "egress.allow does not cover itself",
    )
    assert world.tried == []


@trio_test
async def test_a_name_that_is_not_allowed_is_not_even_resolved() -> None:
    world = World({})
    result = await world.open("a.example", allow=["b.example"])
    assert isinstance(result, Failed)
    assert result.message.startswith("blocked by egress security policy: nothing in egress.allow covers a.example")
    assert world.asked == []


@trio_test
async def test_addresses_and_host_need_no_resolver() -> None:
    world = World({}, answering=["192.0.2.1", "127.0.0.1", "2001:db8::1"])
    assert await world.open("192.0.2.1", allow=["192.0.2.0/24"]) == "192.0.2.1"
    assert await world.open("::ffff:192.0.2.1", allow=["192.0.2.0/24"]) == "192.0.2.1"
    assert await world.open("2001:db8::1", allow=["[::]/0"]) == "2001:db8::1"
    assert await world.open("host", allow=["host"]) == "127.0.0.1"
    assert world.asked == []


@trio_test
async def test_failures_are_told_with_their_reason() -> None:
    world = World({"a.example": ["192.0.2.1"], "none.example": []})
    assert await world.open("a.example", allow=["**"]) == Failed(
        errno.ECONNREFUSED, "192.0.2.1 port 443: Connection refused"
    )
    assert await world.open("b.example", allow=["**"]) == Failed(
        errno.EHOSTUNREACH, "b.example: Name or service not known"
    )
    assert await world.open("none.example", allow=["**"]) == Failed(errno.EHOSTUNREACH, "none.example has no address")
    assert await world.open("slow.example", allow=["**"], timeout=0.01) == Failed(
        errno.ETIMEDOUT, "slow.example port 443 did not answer within 0.01 s"
    )


@trio_test
async def test_the_machines_own_resolver_and_network() -> None:
    async def close(stream: trio.SocketStream) -> None:
        await stream.send_all(b"x")

    assert ipaddress.ip_address("127.0.0.1") in await connect.resolve("localhost")
    policy = Policy(allow=["localhost", "127.0.0.0/8", "[::1]"])
    async with serving(close) as port:
        stream = await open_permitted("localhost", port, policy=policy)
        assert isinstance(stream, trio.SocketStream)
        async with stream:
            assert await stream.receive_some() == b"x"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("host", "127.0.0.1"),
        ("a.example", None),
        ("127.0.0.1", "blocked by egress security policy: nothing in egress.allow covers 127.0.0.1 port 443"),
        ("other.test", "blocked by egress security policy: nothing in egress.allow covers other.test port 443"),
    ],
)
def test_what_takes_no_resolver_is_decided_like_everything_else(host: str, expected: str | None) -> None:
    policy = Policy(allow=["host", "192.0.2.0/24", "[2001:db8::]/32", "*.example"])
    found = connect.permitted_address(host, 443, policy=policy)
    assert (found.message if isinstance(found, Failed) else found) == expected


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@trio_test
async def test_an_address_is_connected_to(address: str) -> None:
    async with open_loop() as loop, listen_tcp(address, 0) as listener:
        port = port_of(listener)
        found = await visits.drive(connect.open_address(loop, address, port))
        assert isinstance(found, socket.socket)
        found.close()
    async with open_loop() as loop:
        refused = await visits.drive(connect.open_address(loop, address, port))
    assert refused == Failed(errno.ECONNREFUSED, f"{address} port {port}: Connection refused")


def test_an_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(family: int, address: tuple[str, int]) -> socket.socket:
        # A socket that is not connected and cannot be written to: a listener.
        plain = socket.create_server(("127.0.0.1", 0))
        plain.setblocking(False)
        return plain

    async def main() -> socket.socket | Failed:
        monkeypatch.setattr(visits, "begin", never)
        async with open_loop() as loop:
            return await visits.drive(connect.open_address(loop, "192.0.2.1", 9, timeout=5))

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == Failed(
        errno.ETIMEDOUT, "192.0.2.1 port 9 did not answer within 5 s"
    )
