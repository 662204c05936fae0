from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import trio_test

from enclaver_runtime.config import ConfigError, Tls
from enclaver_runtime.enclave.tls import CutOffError, TlsSide, accept, load, reason
from tests.certificates import Authority, Identity, PrivateKey, ec_key, encrypted_pem, rsa_key
from tests.unit.enclaver_runtime.net import unix_pair
from tests.unit.enclaver_runtime.tls import AUTHORITY, Client, trusting

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
versions = pytest.mark.parametrize("version", VERSIONS)


def server(folder: Path, identity: Identity | None = None) -> ssl.SSLContext:
    cert, key = (identity or AUTHORITY.identity()).write(folder)
    return load(Tls(str(cert), str(key)))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def connected(
    context: ssl.SSLContext,
    version: ssl.TLSVersion | None = None,
    *,
    client_context: ssl.SSLContext | None = None,
    sizes: Iterable[int] = (),
) -> AsyncIterator[tuple[Client, TlsSide]]:
    """A client and its server's side, after the handshake."""
    ours, theirs = unix_pair()
    client, sides = Client(theirs, client_context or trusting(version), sizes), list[TlsSide]()

    async def serve() -> None:
        side = await accept(ours, context, turn=trio.Lock())
        assert side is not None
        sides.append(side)

    with trio.fail_after(20):
        async with ours, theirs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                await client.shake_hands()
                await client.flush()
            yield client, sides[0]


async def receive(side: TlsSide, size: int = 1 << 16) -> bytes:
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: await side.receive_into(buffer)])


async def receive_all(side: TlsSide) -> bytes:
    data = bytearray()
    while piece := await receive(side):
        data += piece
    return bytes(data)


async def send_all(side: TlsSide, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[await side.send(rest) :]


@versions
@trio_test
async def test_bytes_go_both_ways(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    async with connected(context, version) as (client, side):
        await client.send(b"question")
        assert await receive(side) == b"question"
        await send_all(side, b"answer")
        assert await client.receive() == b"answer"
        assert client.tls.version() == version.name.replace("_", ".")


@versions
@trio_test
async def test_much_goes_both_ways_at_once(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    up, down = bytes(range(256)) * 5000, bytes(range(255, -1, -1)) * 5000
    received: dict[str, bytes] = {}
    async with connected(context, version) as (client, side), trio.open_nursery() as nursery:

        async def client_sends() -> None:
            await client.send(up)
            await client.end()

        async def server_sends() -> None:
            await send_all(side, down)
            await side.end_output()

        async def server_receives() -> None:
            received["up"] = await receive_all(side)

        async def client_receives() -> None:
            received["down"] = await client.receive_all()

        for task in (client_sends, server_sends, server_receives, client_receives):
            nursery.start_soon(task)
    assert received == {"up": up, "down": down}
    assert side.failure is None


@versions
@trio_test
async def test_the_clients_end_leaves_our_output_open(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    async with connected(context, version) as (client, side):
        await client.send(b"question")
        await client.end()
        assert await receive_all(side) == b"question"
        assert await receive(side) == b""
        await send_all(side, b"answer")
        await side.end_output()
        assert await client.receive_all() == b"answer"


@versions
@trio_test
async def test_our_end_leaves_the_clients_output_open(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    async with connected(context, version) as (client, side):
        # What the client has said is there unread, whole records and a part of one, when the end is sent.
        await client.send(bytes(50_000))
        assert await receive(side, 100) == bytes(100)
        await side.end_output()
        assert await client.receive() == b""
        await client.send(b"more")
        await client.end()
        assert await receive_all(side) == bytes(49_900) + b"more"
        assert side.failure is None


@trio_test
async def test_an_end_without_close_notify_is_a_failure_after_what_came_before(context: ssl.SSLContext) -> None:
    async with connected(context) as (client, side):
        await client.send(b"half of ")
        await client.stream.aclose()
        assert await receive(side) == b"half of "
        with pytest.raises(CutOffError) as caught:
            await receive(side)
        assert side.failure is caught.value
        assert reason(caught.value) == "it hung up without the end that TLS asks for"


@trio_test
async def test_records_that_were_tampered_with_are_a_failure(context: ssl.SSLContext) -> None:
    async with connected(context) as (client, side):
        await client.stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError):
            await receive(side)
        assert side.failure is not None
        assert reason(side.failure) == "decryption failed or bad record mac"
        with pytest.raises(ssl.SSLError, match="alert bad record mac"):
            await client.receive()


@trio_test
async def test_a_reset_is_an_error_of_the_system(context: ssl.SSLContext) -> None:
    async with connected(context) as (client, side):
        await send_all(side, b"unread")
        await client.stream.aclose()
        with pytest.raises(ConnectionResetError):
            await receive(side)
        assert side.failure is not None
        assert reason(side.failure) == "Connection reset by peer"


async def refusal(context: ssl.SSLContext, data: bytes) -> tuple[str | None, bytes]:
    """Why there is no handshake with a client that sends ``data`` and hangs up, and what it is told."""
    ours, theirs = unix_pair()
    async with theirs:
        await theirs.send_all(data)
        await theirs.send_eof()
        async with ours:
            try:
                why = None if await accept(ours, context, turn=trio.Lock()) is None else "a handshake"
            except OSError as error:
                why = reason(error)
        return why, b"".join([piece async for piece in theirs])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it speaks HTTP without TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "wrong version number"),
        (b"\x16\x03\x01", "it hung up without the end that TLS asks for"),
    ],
)
@trio_test
async def test_who_does_not_speak_tls(context: ssl.SSLContext, data: bytes, why: str | None) -> None:
    assert (await refusal(context, data))[0] == why


async def hello(client_context: ssl.SSLContext) -> bytes:
    """A client's first message."""
    outgoing = ssl.MemoryBIO()
    client = client_context.wrap_bio(ssl.MemoryBIO(), outgoing)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("ciphers", ["AES256-GCM-SHA384", "ECDHE+AES+SHA"])
@trio_test
async def test_what_has_no_forward_secrecy_or_an_old_mode_is_refused_with_an_alert(
    context: ssl.SSLContext, ciphers: str
) -> None:
    client_context = trusting(ssl.TLSVersion.TLSv1_2, ciphers)
    client_context.check_hostname = False
    why, told = await refusal(context, await hello(client_context))
    assert why == "no shared cipher"
    assert told == b"\x15\x03\x03\x00\x02\x02\x28"


@trio_test
async def test_versions_before_1_2_are_refused_with_an_alert(context: ssl.SSLContext) -> None:
    with pytest.deprecated_call():
        client_context = trusting(ssl.TLSVersion.TLSv1_1, "DEFAULT@SECLEVEL=0")
    client_context.check_hostname = False
    why, told = await refusal(context, await hello(client_context))
    assert why == "unsupported protocol"
    assert told[:1] == b"\x15"


@trio_test
async def test_a_client_that_does_not_trust_the_certificate_says_so(context: ssl.SSLContext) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.load_verify_locations(cadata=Authority("Another").pem.decode())
    ours, theirs = unix_pair()
    client = Client(theirs, stranger)

    async def refuse() -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.shake_hands()
        await client.flush()

    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        with pytest.raises(ssl.SSLError) as caught:
            await accept(ours, context, turn=trio.Lock())
    assert reason(caught.value) == "tlsv1 alert unknown ca"


@trio_test
async def test_a_protocol_inside_is_not_agreed_on(context: ssl.SSLContext) -> None:
    client_context = trusting()
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    async with connected(context, client_context=client_context) as (client, _):
        assert client.tls.selected_alpn_protocol() is None


@settings(max_examples=25)
@given(
    st.sampled_from(VERSIONS),
    st.lists(st.integers(min_value=1, max_value=700), max_size=50),
    st.binary(max_size=40_000),
)
def test_however_the_bytes_are_cut_the_same_is_received(
    context: ssl.SSLContext, version: ssl.TLSVersion, sizes: list[int], data: bytes
) -> None:
    async def main() -> bytes:
        async with connected(context, version, sizes=sizes) as (client, side), trio.open_nursery() as nursery:

            async def send() -> None:
                await client.send(data)
                await client.end()

            nursery.start_soon(send)
            return await receive_all(side)

    assert trio.run(main) == data


@trio_test
async def test_the_first_data_may_come_with_the_last_message_of_the_handshake(context: ssl.SSLContext) -> None:
    ours, theirs = unix_pair()
    client = Client(theirs)

    async def say() -> None:
        await client.shake_hands()
        client.tls.write(b"question")
        await client.flush()

    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(say)
        side = await accept(ours, context, turn=trio.Lock())
        assert side is not None
        assert await receive(side) == b"question"


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), Ed25519PrivateKey.generate()])
@trio_test
async def test_every_kind_of_key_serves(key: PrivateKey, tmp_path: Path) -> None:
    async with connected(server(tmp_path, AUTHORITY.identity(key))) as (client, side):
        await send_all(side, b"answer")
        assert await client.receive() == b"answer"


@trio_test
async def test_a_slow_reader_holds_the_writer_up(context: ssl.SSLContext) -> None:
    async with connected(context) as (_, side):
        sent = 0
        with trio.move_on_after(0.2):
            while True:
                sent += await side.send(memoryview(bytes(1 << 16)))
        assert sent < 2_000_000


UNFIT = {
    "encrypted": Identity(AUTHORITY.pem, encrypted_pem(ec_key())),
    "another's": Identity(AUTHORITY.pem, AUTHORITY.identity().key),
    "no chain": Identity(b"", AUTHORITY.identity().key),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_an_identity_that_is_none_names_its_files(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}/cert.pem and {tmp_path}/key.pem are no TLS identity: "):
        server(tmp_path, UNFIT[kind])


def test_an_identity_that_is_not_there_names_its_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="are no TLS identity: No such file or directory"):
        load(Tls(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")))
