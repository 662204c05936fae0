"""The enclave's client against parents that do as they please; with the real one it is tested among the parent's."""

from __future__ import annotations

import cbor2
import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave.development_nsm import NOTICE, parent_module
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.enclave.security_module import NsmError, NsmUnavailableError
from enclaver_runtime.protocol import development_nsm
from tests.unit.enclaver_runtime.net import unix_pair

DOCUMENT = cbor2.dumps({"Attestation": {"document": b"a document"}})


async def attest(*answer: bytes, hang_up: bool = True, timeout: float = 30) -> bytes:
    """A document of a parent that sends ``answer`` in these pieces; port and request are checked."""
    left, right = unix_pair()

    async def connect(cid: int, port: int) -> trio.SocketStream:
        if cid != 2:
            await trio.sleep_forever()
        assert port == development_nsm.PORT
        return left

    async def parent() -> None:
        reader = development_nsm.frame_reader(4096)
        while (request := reader.receive_data(bytes(await right.receive_some(reader.wanted)))) is None:
            pass
        assert cbor2.loads(request)["Attestation"]["nonce"] == b"n"
        for piece in answer:
            await right.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        if hang_up:
            await right.aclose()

    with trio.fail_after(30):
        async with right, trio.open_nursery() as nursery:
            nursery.start_soon(parent)
            document = await parent_module(ParentLink(connect), timeout=timeout).attest(nonce=b"n")
            nursery.cancel_scope.cancel()
    return document


def error_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    (error,) = group.exceptions
    return error


def test_the_notice_says_what_it_is_worth() -> None:
    assert NOTICE.startswith("DEVELOPMENT")


@pytest.mark.parametrize("size", [1, 3, 5, 100])
@trio_test
async def test_documents_come_however_they_are_split(size: int) -> None:
    frame = development_nsm.frame(DOCUMENT)
    assert await attest(*(frame[start : start + size] for start in range(0, len(frame), size))) == b"a document"


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"", NsmUnavailableError, "does not answer: the connection ended"),
        (b"\0\0\0\x09half", NsmUnavailableError, "does not answer: the connection ended within a frame"),
        (b"\0\0\x30\x01", NsmUnavailableError, "does not answer: a frame of 12289 bytes"),
        (development_nsm.frame(b"\xff"), NsmError, "not"),
        (development_nsm.frame(cbor2.dumps({"Error": "InternalError"})), NsmError, "InternalError"),
    ],
)
@trio_test
async def test_other_answers_are_errors(answer: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await attest(answer)
    found = error_of(caught.value)
    assert isinstance(found, error)
    assert text in str(found)


@trio_test
async def test_a_parent_that_never_answers_is_not_waited_for() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await attest(b"\0\0", hang_up=False, timeout=0.1)
    assert "the parent gave no answer within 0.1 s" in str(error_of(caught.value))


@trio_test
async def test_a_parent_without_the_port_is_told() -> None:
    async def refuse(cid: int, port: int) -> trio.SocketStream:
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(NsmUnavailableError, match="does not answer: Connection refused"):
        await parent_module(ParentLink(refuse)).attest()


@trio_test
async def test_a_parent_that_resets_is_told() -> None:
    left, right = unix_pair()

    async def connect(cid: int, port: int) -> trio.SocketStream:
        if cid != 2:
            await trio.sleep_forever()
        return left

    await right.aclose()
    with pytest.raises(NsmUnavailableError, match="does not answer: the parent hung up"):
        await parent_module(ParentLink(connect)).attest()
