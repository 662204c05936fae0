from __future__ import annotations

import os

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent.sink import descriptor_sink


@trio_test
async def test_writes_all_in_order() -> None:
    reader, writer = os.pipe()
    received = bytearray()

    async def read() -> None:
        async with trio.lowlevel.FdStream(reader) as stream:
            async for data in stream:
                received.extend(data)

    expected = [bytes([number]) * 100_000 for number in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        sink = descriptor_sink(writer)
        for data in expected:
            await sink(data)
        os.close(writer)
    assert bytes(received) == b"".join(expected)


@trio_test
async def test_a_reader_that_is_gone_is_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        await descriptor_sink(writer)(b"x")
    os.close(writer)


@trio_test
async def test_a_reader_that_is_stuck_does_not_hold_up_a_cancellation() -> None:
    reader, writer = os.pipe()
    with trio.move_on_after(0.05) as scope:
        await descriptor_sink(writer)(b"x" * 1_000_000)
    assert scope.cancelled_caught
    # The abandoned thread ends with its reader.
    os.close(reader)
    await trio.sleep(0.05)
    os.close(writer)


@trio_test
async def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = bytearray()

    async def read() -> None:
        async with trio.lowlevel.FdStream(reader) as stream:
            async for data in stream:
                received.extend(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await descriptor_sink(writer)(b"x" * 1_000_000)
        os.close(writer)
    assert received == b"x" * 1_000_000
