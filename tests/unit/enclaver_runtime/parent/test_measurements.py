from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent.errors import ParentError, plain_errors
from enclaver_runtime.parent.measurements import IMAGE_REGISTERS, MeasurementCheck, checked

ZERO, ONE, OTHER = "00" * 48, "11" * 48, "22" * 48
EXPECTED = dict(zip(IMAGE_REGISTERS, (ZERO, ONE, OTHER), strict=True))


def told(registers: dict[str, str]) -> list[bytes]:
    """Lines as a console has them, among others."""
    lines = [f"enclaver: [5.{index}] {name}={value}".encode() for index, (name, value) in enumerate(registers.items())]
    return [b"[    1.2] random: crng init done", *lines, b"enclaver: [5.4] security module"]


async def outcome(lines: list[bytes]) -> str | None:
    """What the check says of a console; None when it waits on."""
    check = MeasurementCheck(EXPECTED)
    for line in lines:
        check.look(line)
    said: list[str] = []

    async def wait() -> None:
        try:
            await check.passed()
            said.append("passed")
        except ParentError as error:
            said.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return said[0] if said else None


@trio_test
async def test_the_image_passes() -> None:
    assert await outcome(told(EXPECTED)) == "passed"
    # What an app may get onto the console later is not the boot's.
    assert await outcome([*told(EXPECTED), *told(EXPECTED | {"PCR0": OTHER})]) == "passed"


@trio_test
async def test_another_one_is_named_with_both_values() -> None:
    said = await outcome(told(EXPECTED | {"PCR1": ZERO}))
    assert said == f"the enclave that has booted is not the image: its PCR1 is {ZERO}, and the image's is {ONE}"


@pytest.mark.parametrize(
    "line",
    [
        b"enclaver: [5.3] PCR2=" + OTHER[:-2].encode(),
        b"enclaver: [5.3] PCR2=" + OTHER.encode() + b"0",
        b"hello enclaver: [5.3] PCR2=" + OTHER.encode(),
        b"enclaver: [5.3] PCR3=" + OTHER.encode(),
        b"",
    ],
)
@trio_test
async def test_without_all_of_them_nothing_is_said(line: bytes) -> None:
    two = {name: EXPECTED[name] for name in ("PCR0", "PCR1")}
    assert await outcome([*told(two), line]) is None


def booting(lines: list[bytes], ended: list[bool]) -> Callable[..., AbstractAsyncContextManager[str]]:
    @asynccontextmanager
    async def boot(look: Callable[[bytes], object]) -> AsyncIterator[str]:
        for line in lines:
            look(line)
        try:
            yield "the enclave"
        finally:
            ended.append(True)

    return boot


@trio_test
async def test_an_enclave_that_is_the_image_is_left_alone() -> None:
    ended: list[bool] = []
    async with checked(booting(told(EXPECTED), ended), EXPECTED) as enclave:
        await trio.testing.wait_all_tasks_blocked()
        assert (enclave, ended) == ("the enclave", [])
    assert ended == [True]


@trio_test
async def test_an_enclave_that_is_not_the_image_is_ended() -> None:
    ended: list[bool] = []
    boot = booting(told(EXPECTED | {"PCR2": ZERO}), ended)
    with pytest.raises(ParentError, match="its PCR2 is 0000"), plain_errors():
        async with checked(boot, EXPECTED):
            await trio.sleep_forever()
    assert ended == [True]
