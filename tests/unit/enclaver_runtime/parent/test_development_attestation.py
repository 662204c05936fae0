"""The module behind its port, with the enclave's real client at the other end."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import cbor2
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from trio.testing import trio_test

from enclaver_runtime.enclave.development_nsm import parent_module
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.parent.development_attestation import COMMAND_LINE_WORD, DevelopmentAttestation, serve_nsm
from enclaver_runtime.protocol import development_nsm
from enclaver_runtime.transport import vsock
from tests.attestation import verify
from tests.unit.enclaver_runtime.net import read_all


class Enclave:
    """An enclave whose vsock is unix sockets in a folder."""

    half_closes = True

    def __init__(self, folder: Path) -> None:
        self.path = f"{folder}/vm"

    def listen(self, port: int) -> trio.SocketListener:
        return vsock.listen_hybrid(self.path, port)

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        raise AssertionError("nothing connects to the enclave")

    async def dial(self, cid: int, port: int) -> trio.SocketStream:
        """Connect to the parent, which is CID 2 as in QEMU."""
        if cid != 2:
            await trio.sleep_forever()
        return await trio.open_unix_socket(f"{self.path}_{port}")


def test_the_word_is_the_protocols() -> None:
    assert development_nsm.is_wanted(f"console=ttyS0 {COMMAND_LINE_WORD}")


@trio_test
async def test_the_enclave_gets_documents_that_chain_to_the_runs_root(tmp_path: Path) -> None:
    attestation = DevelopmentAttestation({0: b"\x01" * 48})
    told: list[str] = []
    enclave = Enclave(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(attestation.service(told.append), enclave)
        module = parent_module(ParentLink(enclave.dial))
        with trio.fail_after(30):
            first = verify(await module.attest(nonce=b"first"), attestation.root_pem)
            second = verify(await module.attest(user_data=b"second"), attestation.root_pem)
        nursery.cancel_scope.cancel()
    assert (first["nonce"], second["user_data"]) == (b"first", b"second")
    assert first["pcrs"][0] == b"\x01" * 48
    assert first["module_id"].startswith("i-development-enc")
    assert told == []


def test_the_fingerprint_is_as_openssl_writes_it() -> None:
    attestation = DevelopmentAttestation({})
    der = x509.load_pem_x509_certificate(attestation.root_pem).public_bytes(Encoding.DER)
    assert attestation.root_fingerprint.replace(":", "").lower() == hashlib.sha256(der).hexdigest()
    assert len(attestation.root_fingerprint) == 32 * 3 - 1


@asynccontextmanager
async def echoing(
    tmp_path: Path, told: list[str], *, respond: Callable[[bytes], bytes] = bytes, timeout: float = 30
) -> AsyncIterator[Enclave]:
    enclave = Enclave(tmp_path)
    async with trio.open_nursery() as nursery:
        serve = functools.partial(
            serve_nsm,
            listener=enclave.listen(development_nsm.PORT),
            respond=respond,
            tell=told.append,
            timeout=timeout,
        )
        await nursery.start(serve)
        with trio.fail_after(30):
            yield enclave
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
@trio_test
async def test_requests_come_back_however_they_are_split(tmp_path: Path, size: int) -> None:
    told: list[str] = []
    async with echoing(tmp_path, told) as enclave, await enclave.dial(2, development_nsm.PORT) as stream:
        frame = development_nsm.frame(b"request" * 9)
        for start in range(0, len(frame), size):
            await stream.send_all(frame[start : start + size])
        assert await read_all(stream) == frame
    assert told == []


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\0\0\0\0", "a frame of 0 bytes"),
        (b"\0\0\x10\x01", "a frame of 4097 bytes"),
        (b"GET / HTTP/1.1\r\n", "a frame of 1195725856 bytes"),
    ],
)
@trio_test
async def test_what_is_no_request_is_told_and_dropped(tmp_path: Path, sent: bytes, why: str) -> None:
    told: list[str] = []
    async with echoing(tmp_path, told) as enclave:
        async with await enclave.dial(2, development_nsm.PORT) as stream:
            await stream.send_all(sent)
            # It is hung up on, with some of its bytes unread or not.
            with suppress(trio.BrokenResourceError):
                assert await read_all(stream) == b""
        # The next one is served.
        async with await enclave.dial(2, development_nsm.PORT) as stream:
            await stream.send_all(development_nsm.frame(b"x"))
            assert await read_all(stream) == development_nsm.frame(b"x")
    (line,) = told
    assert line.startswith(f"development attestation: a connection was dropped: {why}")


@trio_test
async def test_a_request_that_breaks_off_or_never_ends_is_dropped(tmp_path: Path) -> None:
    told: list[str] = []
    async with echoing(tmp_path, told, timeout=0.2) as enclave:
        async with await enclave.dial(2, development_nsm.PORT) as stream:
            await stream.send_all(b"\0\0\0\x05half")
            await stream.send_eof()
            assert await read_all(stream) == b""
        async with await enclave.dial(2, development_nsm.PORT) as stream:
            await stream.send_all(b"\0\0\0\x05half")
            assert await read_all(stream) == b""
    assert told == [
        "development attestation: a connection was dropped: the connection ended within a frame",
        "development attestation: a connection was dropped: not over within 0.2 s",
    ]


@trio_test
async def test_garbage_in_a_frame_is_answered_as_the_module_does(tmp_path: Path) -> None:
    attestation = DevelopmentAttestation({})
    enclave = Enclave(tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(attestation.service(pytest.fail), enclave)
        async with await enclave.dial(2, development_nsm.PORT) as stream:
            await stream.send_all(development_nsm.frame(b"\xff\xff"))
            response = await read_all(stream)
        nursery.cancel_scope.cancel()
    assert cbor2.loads(response[4:]) == {"Error": "InvalidArgument"}
