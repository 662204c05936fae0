from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave import kms_upstream
from enclaver_runtime.enclave.http_client import HttpClientError, Outgoing
from enclaver_runtime.enclave.kms_upstream import KmsUpstream
from enclaver_runtime.enclave.outbound import ForbiddenError, LateError
from enclaver_runtime.protocol.kms import Endpoint
from enclaver_runtime.transport.connections import connect_tcp
from tests.certificates import Authority
from tests.unit.enclaver_runtime.net import read_until, serving

AUTHORITY = Authority()
REQUEST = Outgoing("POST", "/", [(b"Host", b"localhost")], b"{}")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def trusting(authority: Authority = AUTHORITY) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem.decode())
    return context


class Server:
    """Answers each request with the next of ``responses``, over TLS; an empty one hangs up."""

    def __init__(self, folder: Path, *responses: bytes) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*AUTHORITY.identity().write(folder))
        self.responses = list(responses)
        self.connections = 0
        self.hung_up = trio.Event()

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        secure = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        try:
            while self.responses:
                head = b""
                while not head.endswith(b"{}"):
                    if not (data := bytes(await secure.receive_some())):
                        return
                    head += data
                response = self.responses.pop(0)
                if not response:
                    return
                await secure.send_all(response)
        except trio.BrokenResourceError:
            return
        finally:
            await trio.aclose_forcefully(stream)
            self.hung_up.set()


def loopback(port: int) -> kms_upstream.Connect:
    async def connect(host: str, asked: int) -> trio.SocketStream:
        assert (host, asked) == ("localhost", 443)
        return await connect_tcp("127.0.0.1", port)

    return connect


HERE = Endpoint("localhost")


@trio_test
async def test_a_connection_serves_again(tmp_path: Path) -> None:
    server = Server(tmp_path, OK, OK, OK)
    async with serving(server.handle) as port:
        upstream = KmsUpstream(loopback(port), trusting())
        with trio.fail_after(30):
            for _ in range(3):
                response = await upstream.exchange(HERE, REQUEST)
                assert (response.status, response.body) == (200, b"hi")
        upstream.close()
    assert server.connections == 1


@trio_test
async def test_one_that_the_server_has_ended_is_not_used_again(tmp_path: Path) -> None:
    server = Server(tmp_path, OK)
    async with serving(server.handle) as port:
        upstream = KmsUpstream(loopback(port), trusting())
        with trio.fail_after(30):
            await upstream.exchange(HERE, REQUEST)
            await server.hung_up.wait()
            server.responses.append(OK)
            await upstream.exchange(HERE, REQUEST)
        upstream.close()
    assert server.connections == 2


@trio_test
async def test_one_that_was_idle_too_long_is_not_used_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    server = Server(tmp_path, OK, OK)
    async with serving(server.handle) as port:
        upstream = KmsUpstream(loopback(port), trusting())
        await upstream.exchange(HERE, REQUEST)
        await trio.sleep(kms_upstream.IDLE_SECONDS + 1)
        await upstream.exchange(HERE, REQUEST)
        upstream.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", b"HTTP/1.0 200 OK\r\n\r\nhi"]
)
def test_one_that_is_over_is_not_kept(tmp_path: Path, response: bytes) -> None:
    async def main() -> int:
        server = Server(tmp_path, response)
        async with serving(server.handle) as port:
            upstream = KmsUpstream(loopback(port), trusting())
            with trio.fail_after(30):
                await upstream.exchange(HERE, REQUEST)
                server.responses.append(OK)
                await upstream.exchange(HERE, REQUEST)
            upstream.close()
        return server.connections

    assert trio.run(main) == 2


@trio_test
async def test_a_request_goes_out_once(tmp_path: Path) -> None:
    server = Server(tmp_path, b"", OK)
    async with serving(server.handle) as port:
        upstream = KmsUpstream(loopback(port), trusting())
        with trio.fail_after(30), pytest.raises(HttpClientError, match="it has hung up"):
            await upstream.exchange(HERE, REQUEST)
        upstream.close()
    assert (server.connections, server.responses) == (1, [OK])


@trio_test
async def test_who_cannot_prove_to_be_kms_gets_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path, OK)
    async with serving(server.handle) as port:
        for context, endpoint, why in (
            (trusting(Authority("Another")), HERE, "certificate is not to be trusted: self-signed"),
            (trusting(), Endpoint("kms.example"), "certificate is not to be trusted: Hostname mismatch"),
        ):

            async def connect(host: str, asked: int) -> trio.SocketStream:
                return await connect_tcp("127.0.0.1", port)

            upstream = KmsUpstream(connect, context)
            with trio.fail_after(30), pytest.raises(HttpClientError, match=f"no TLS with {endpoint.host}: its {why}"):
                await upstream.exchange(endpoint, REQUEST)
            upstream.close()
    assert server.responses == [OK]


@trio_test
async def test_who_speaks_no_tls_is_told_so() -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await read_until(stream, b"\x00")
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def nothing(stream: trio.SocketStream) -> None:
        await stream.send_eof()

    for handler in (plain, nothing):
        async with serving(handler) as port:
            with trio.fail_after(30), pytest.raises(HttpClientError, match="no TLS with localhost: "):
                await KmsUpstream(loopback(port), trusting()).exchange(HERE, REQUEST)


@trio_test
async def test_why_there_is_no_connection_is_passed_on() -> None:
    async def connect(host: str, port: int) -> trio.SocketStream:
        raise ForbiddenError("not allowed")

    with pytest.raises(ForbiddenError, match="not allowed"):
        await KmsUpstream(connect, trusting()).exchange(HERE, REQUEST)


@trio_test
async def test_patience_ends(autojump_clock: trio.testing.MockClock) -> None:
    async def connect(host: str, port: int) -> trio.SocketStream:
        await trio.sleep_forever()

    with pytest.raises(LateError, match=r"kms\.example:1 gave no answer within 50 s"):
        await KmsUpstream(connect, trusting()).exchange(Endpoint("kms.example", 1), REQUEST)


@trio_test
async def test_no_more_connections_are_kept_than_need_be(tmp_path: Path) -> None:
    count = kms_upstream.MAX_IDLE + 2
    server = Server(tmp_path, *[OK] * count)
    async with serving(server.handle) as port:
        streams = list[trio.SocketStream]()

        async def keep(host: str, asked: int) -> trio.SocketStream:
            streams.append(await connect_tcp("127.0.0.1", port))
            return streams[-1]

        upstream = KmsUpstream(keep, trusting())
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(upstream.exchange, HERE, REQUEST)
        assert sum(stream.socket.fileno() >= 0 for stream in streams) == min(len(streams), kms_upstream.MAX_IDLE)
        upstream.close()
        assert all(stream.socket.fileno() < 0 for stream in streams)
