from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.config import App, Config, Egress, Ingress
from enclaver_runtime.parent import services as services_module
from enclaver_runtime.parent.errors import ParentError, plain_errors
from enclaver_runtime.parent.services import ANY, ParentService, Publication, addresses, services
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Connected, Request
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.unit.enclaver_runtime.net import port_of, read_all, serving


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080:80", Publication("0.0.0.0", 8080, 80)),
        ("0:80", Publication("0.0.0.0", 0, 80)),
        ("127.0.0.1:8080:80", Publication("127.0.0.1", 8080, 80)),
        ("[::1]:8080:80", Publication("::1", 8080, 80)),
        ("[::]:8080:80", Publication("::", 8080, 80)),
    ],
)
def test_publications(text: str, expected: Publication) -> None:
    assert Publication.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "80", ":80", "80:", "80:0", "a:80", "80:65536", "::1:80:80", "[::1:80:80", "localhost:80:80", "1:2:3:4"],
)
def test_what_is_no_publication(text: str) -> None:
    with pytest.raises(ParentError, match="not a published port"):
        Publication.parse(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_an_address_is_itself(text: str) -> None:
    assert addresses(text) == (text,)


@pytest.mark.parametrize("text", ["", "localhost", "[::1]", "1.2.3", "all"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ParentError, match="not an address"):
        addresses(text)


def test_any_address_is_of_both_families_where_there_are_both(monkeypatch: pytest.MonkeyPatch) -> None:
    assert addresses(ANY) == ("0.0.0.0", "::")

    def without_ipv6(family: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", without_ipv6)
    assert addresses(ANY) == ("0.0.0.0",)


def config(*, egress: bool = False, ports: Sequence[int] = ()) -> Config:
    return Config(
        app=App(argv=("/app",), env={}, cwd="/", uid=1, gid=1),
        egress=Egress(proxy_port=10000, allow=("host",), deny=()) if egress else None,
        ingress=tuple(map(Ingress, ports)),
        kms_proxy=None,
        api=None,
    )


class FakeEnclave:
    """An enclave of which every port is one TCP port."""

    half_closes = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.path = str(folder / "vm")
        self.port = port
        self.asked: list[int] = []

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        self.asked.append(port)
        return await connect_tcp("127.0.0.1", self.port)

    def listen(self, port: int) -> trio.SocketListener:
        return vsock.listen_hybrid(self.path, port)


def test_only_what_is_asked_for_runs() -> None:
    assert services(config(ports=[80]), tell=print) == []
    assert len(services(config(egress=True, ports=[80]), publish=[Publication("127.0.0.1", 0, 80)], tell=print)) == 2


def test_only_ingress_ports_can_be_published() -> None:
    with pytest.raises(ParentError, match=r"no ingress port 82 \(it has: 80, 81\)"):
        services(config(ports=[81, 80]), publish=[Publication("127.0.0.1", 0, 82)], tell=print)
    with pytest.raises(ParentError, match=r"\(it has: none\)"):
        services(config(), publish=[Publication("127.0.0.1", 0, 82)], tell=print)


async def upper(stream: trio.SocketStream) -> None:
    await stream.send_all((await read_all(stream)).upper())


@trio_test
async def test_a_published_port_leads_to_the_enclaves(tmp_path: Path) -> None:
    told: list[str] = []
    async with serving(upper) as port, trio.open_nursery() as nursery:
        enclave = FakeEnclave(tmp_path, port)
        publish = [Publication("127.0.0.1", 0, 80), Publication("::1", 0, 80)]
        for service in services(config(ports=[80]), publish=publish, tell=told.append):
            await nursery.start(service, enclave)
        for line, address in zip(told, ("127.0.0.1", "::1"), strict=True):
            where, _, rest = line.partition(" ")
            assert rest == "leads to the enclave's port 80"
            async with await connect_tcp(address, int(where.rpartition(":")[2])) as client:
                await client.send_all(b"text")
                await client.send_eof()
                assert await read_all(client) == b"TEXT"
        nursery.cancel_scope.cancel()
    assert enclave.asked == [80, 80]


@trio_test
async def test_egress_is_served_with_the_images_policy(tmp_path: Path) -> None:
    async with serving(upper) as port, trio.open_nursery() as nursery:
        enclave = FakeEnclave(tmp_path)
        for service in services(config(egress=True), tell=print):
            await nursery.start(service, enclave)
        async with await trio.open_unix_socket(f"{enclave.path}_{frames.PORT}") as stream:
            await stream.send_all(frames.format_request(Request("host", port)) + b"text")
            await stream.send_eof()
            assert await read_all(stream) == frames.format_answer(Connected()) + b"TEXT"
        nursery.cancel_scope.cancel()


@trio_test
async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    async with listen_tcp("127.0.0.1", 0) as taken:
        publish = [Publication("127.0.0.1", port_of(taken), 80)]
        [service] = services(config(ports=[80]), publish=publish, tell=print)
        await expect_taken(service, FakeEnclave(tmp_path))


async def expect_taken(service: ParentService, enclave: FakeEnclave) -> None:
    async def run() -> None:
        with plain_errors():
            async with trio.open_nursery() as nursery:
                await nursery.start(functools.partial(service, enclave))

    with pytest.raises(ParentError, match=r"127.0.0.1:\d+ cannot be listened on: .*in use"):
        await run()


@trio_test
async def test_lines_about_a_published_port_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def serve(*, tell: Callable[[str], None], task_status: trio.TaskStatus[int], **_: object) -> None:
        for number in range(1000):
            tell(f"ingress: {number}")
        task_status.started(1)

    monkeypatch.setattr(services_module, "serve_ingress", serve)
    async with trio.open_nursery() as nursery:
        for service in services(config(ports=[80]), publish=[Publication("127.0.0.1", 0, 80)], tell=told.append):
            await nursery.start(service, FakeEnclave(tmp_path))
    assert 1 <= len([line for line in told if line.startswith("ingress: ")]) <= 100
    # What everybody waits for is never among what is left out.
    assert told[-1] == "127.0.0.1:1 leads to the enclave's port 80"
