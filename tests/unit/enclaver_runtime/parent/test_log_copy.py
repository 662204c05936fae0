from __future__ import annotations

import pytest
import trio
import trio.abc
from trio.testing import MockClock, memory_stream_pair, trio_test

from enclaver_runtime.parent.errors import plain_errors
from enclaver_runtime.parent.log_copy import LogCopy


@pytest.fixture
def fast_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


class Sink:
    """Takes a piece in ``seconds``."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.taken = bytearray()
        self._seconds = seconds

    async def __call__(self, data: bytes) -> None:
        await trio.sleep(self._seconds)
        self.taken += data


async def _copy(copy: LogCopy, *pieces: bytes) -> None:
    """Copy a log of these pieces, which come at once."""
    opened: list[int] = []

    async def connect(port: int, timeout: float) -> trio.abc.Stream:
        opened.append(port)
        ours, theirs = memory_stream_pair()
        nursery.start_soon(send, theirs)
        return ours

    async def send(stream: trio.abc.Stream) -> None:
        for piece in pieces:
            await stream.send_all(piece)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(copy.write)
        await copy.read(connect, 17001)
    assert opened == [17001]


@trio_test
async def test_a_log_is_copied_to_its_end(fast_clock: MockClock) -> None:
    sink = Sink()
    copy = LogCopy(sink)
    assert not copy.has_ended
    await _copy(copy, b"one\n", b"two")
    assert (bytes(sink.taken), copy.has_ended) == (b"one\ntwo", True)
    await copy.wait_ended()


@trio_test
async def test_a_slow_sink_holds_nothing_up(fast_clock: MockClock) -> None:
    sink = Sink(1000)
    pieces = [b"%099d\n" % number for number in range(1000)]
    copy = LogCopy(sink)
    await _copy(copy, *pieces)
    assert sink.taken == b"".join(pieces)
    assert copy.last_read == 0.0


@trio_test
async def test_a_sink_that_is_too_slow_misses_the_oldest_and_never_the_newest(fast_clock: MockClock) -> None:
    sink = Sink(1000)
    await _copy(LogCopy(sink, capacity=40), *(b"line %02d\n" % number for number in range(20)))
    lines = sink.taken.splitlines()
    assert lines[-5:] == [b"line %02d" % number for number in range(15, 20)]
    assert len(lines) < 20


@trio_test
async def test_what_was_read_before_the_end_was_decided_is_written(fast_clock: MockClock) -> None:
    sink = Sink()
    copy = LogCopy(sink)

    async def connect(port: int, timeout: float) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        await theirs.send_all(b"so far")
        return ours

    async with trio.open_nursery() as nursery:
        nursery.start_soon(copy.read, connect, 17001)
        nursery.start_soon(copy.wait_ended)
        await trio.sleep(1)
        copy.end()
        await copy.write()
        nursery.cancel_scope.cancel()
    assert sink.taken == b"so far"


@trio_test
async def test_a_sink_that_fails_is_heard(fast_clock: MockClock) -> None:
    async def sink(data: bytes) -> None:
        raise BrokenPipeError("the reader is gone")

    with pytest.raises(BrokenPipeError, match="gone"), plain_errors():
        await _copy(LogCopy(sink), b"x")
