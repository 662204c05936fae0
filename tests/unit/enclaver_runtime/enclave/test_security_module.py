from __future__ import annotations

import threading
from pathlib import Path

import cbor2
import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.enclave.security_module import Module, NsmError, NsmUnavailableError, device_module
from enclaver_runtime.transport import nsm_device


def documented(request: bytes) -> bytes:
    """A module whose document is what it was asked for."""
    return cbor2.dumps({"Attestation": {"document": cbor2.dumps(cbor2.loads(request)["Attestation"])}})


def answering(response: bytes) -> Module:
    async def exchange(request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return response

    return Module(exchange)


@trio_test
async def test_a_document_carries_what_was_asked_for() -> None:
    async def exchange(request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return documented(request)

    document = await Module(exchange).attest(user_data=b"u", public_key=b"k")
    assert cbor2.loads(document) == {"user_data": b"u", "nonce": None, "public_key": b"k"}
    with pytest.raises(ValueError, match="nonce is 513 bytes long"):
        await Module(exchange).attest(nonce=bytes(513))


@trio_test
async def test_one_request_at_a_time_in_their_order() -> None:
    active: list[bytes] = []
    seen: list[object] = []

    async def exchange(request: bytes) -> bytes:
        active.append(request)
        assert len(active) == 1
        await trio.testing.wait_all_tasks_blocked(0.001)
        active.pop()
        seen.append(cbor2.loads(request)["Attestation"]["nonce"])
        return documented(request)

    module = Module(exchange)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(lambda number: module.attest(nonce=b"%d" % number), number)
    assert sorted(map(str, seen)) == [f"b'{number}'" for number in range(5)]


@pytest.mark.parametrize(
    ("response", "text", "code"),
    [
        (cbor2.dumps({"Error": "InputTooLarge"}), "the NSM refused the request: InputTooLarge", "InputTooLarge"),
        (b"\xff", "the NSM's response is not", "InvalidResponse"),
        (cbor2.dumps({"GetRandom": {}}), "the NSM's response is not one to Attestation", "InvalidResponse"),
    ],
)
@trio_test
async def test_refusals_and_other_answers_are_errors_of_the_modules(response: bytes, text: str, code: str) -> None:
    with pytest.raises(NsmError, match=text) as caught:
        await answering(response).attest()
    assert caught.value.code == code


@trio_test
async def test_a_failure_frees_the_module_for_the_next() -> None:
    failures = [OSError(5, "Input/output error"), OSError("no number"), NsmUnavailableError("gone")]
    expected = [
        "the security module does not answer: Input/output error",
        "the security module does not answer: no number",
        "gone",
    ]

    async def exchange(request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if failures:
            raise failures.pop(0)
        return documented(request)

    module = Module(exchange)
    for text in expected:
        with pytest.raises(NsmUnavailableError) as caught:
            await module.attest()
        assert str(caught.value) == text
    assert await module.attest()


@trio_test
async def test_a_machine_without_a_device_says_so(tmp_path: Path) -> None:
    module = device_module(str(tmp_path / "nsm"))
    with pytest.raises(NsmUnavailableError, match=r"this enclave has no security module \(.*/nsm is not there\)"):
        await module.attest()


@trio_test
async def test_what_is_no_device_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "nsm").touch()
    with pytest.raises(NsmUnavailableError, match="does not answer: Inappropriate ioctl for device"):
        await device_module(str(tmp_path / "nsm")).attest()


class Slow:
    """A device that answers when it is let."""

    entered, let = threading.Event(), threading.Event()

    def __init__(self, path: str) -> None:
        pass

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, request: bytes) -> bytes:
        self.entered.set()
        assert self.let.wait(30)
        return documented(request)


@trio_test
async def test_the_device_is_asked_beside_the_loop_and_keeps_nobody_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nsm_device, "NsmDevice", Slow)
    module = device_module()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(module.attest)
        await trio.to_thread.run_sync(Slow.entered.wait, 30)
        # The loop goes on meanwhile; and the end does not wait for the device.
        nursery.cancel_scope.cancel()
    Slow.let.set()
    assert await module.attest()
