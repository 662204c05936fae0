from __future__ import annotations

import trio
from trio.testing import MockClock, memory_stream_pair

from enclaver_runtime.enclave import heartbeat


def send(parents: dict[int, bytes | None], refused: frozenset[int] = frozenset()) -> tuple[str, list[int]]:
    """Send a heartbeat to parents by CID, each with its answer; None: it never says a word."""
    asked = []

    async def parent(stream: trio.abc.Stream, answer: bytes | None) -> None:
        assert await stream.receive_some(1) == b"\xb7"
        if answer is None:
            await trio.sleep_forever()
        elif answer:
            await stream.send_all(answer)
        await stream.aclose()

    async def main() -> str:
        async with trio.open_nursery() as nursery:

            async def connect(cid: int, port: int) -> trio.abc.Stream:
                assert port == 9000
                asked.append(cid)
                if cid in refused:
                    raise ConnectionResetError("reset")
                ours, theirs = memory_stream_pair()
                nursery.start_soon(parent, theirs, parents[cid])
                return ours

            line = await heartbeat.send(connect)
            nursery.cancel_scope.cancel()
        return line

    return trio.run(main, clock=MockClock(autojump_threshold=0)), asked


def test_nitros_parent_answers() -> None:
    assert send({3: b"\xb7"}) == ("heartbeat answered by CID 3", [3])


def test_an_emulators_parent_is_cid_2() -> None:
    assert send({3: None, 2: b"\xb7"}) == ("heartbeat answered by CID 2", [3, 2])


def test_nobody_there_is_told_and_is_no_error() -> None:
    line, asked = send({3: None}, refused=frozenset({2}))
    assert line == "heartbeat not answered (CID 3: no answer in 1 s; CID 2: reset)"
    assert asked == [3, 2]


def test_a_parent_that_answers_something_else() -> None:
    line, _ = send({3: b"x", 2: b""})
    assert line.startswith("heartbeat not answered (CID 3: the parent answered the heartbeat with b'x'")
