from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, trio_test

from enclaver_runtime.parent.heartbeat import answer


@pytest.fixture
def fast_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


async def _exchange(sent: bytes) -> tuple[bool, bytes]:
    ours, theirs = memory_stream_pair()
    await theirs.send_all(sent)
    beaten = await answer(ours)
    return beaten, bytes(await theirs.receive_some(10))


@trio_test
async def test_answers_the_beat_and_hangs_up() -> None:
    assert await _exchange(b"\xb7") == (True, b"\xb7")


@trio_test
async def test_answers_nothing_else() -> None:
    assert await _exchange(b"\x00") == (False, b"")


@trio_test
async def test_bears_a_peer_that_hangs_up() -> None:
    ours, theirs = memory_stream_pair()
    await theirs.aclose()
    assert await answer(ours) is False


@trio_test
async def test_bears_a_peer_that_resets() -> None:
    ours, theirs = memory_stream_pair()
    await theirs.send_all(b"\xb7")
    # Nobody will read the answer.
    theirs.receive_stream.close()
    assert await answer(ours) is False


@trio_test
async def test_a_silent_peer_is_let_go(fast_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    assert await answer(ours) is False
    assert trio.current_time() >= 10
    assert await theirs.receive_some(1) == b""
