from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.abc
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_pair, trio_test

from enclaver_runtime.parent import reader
from enclaver_runtime.protocol.status import Exited, Fatal, Running, Status, StatusError, format_line


@pytest.fixture
def fast_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


class Scripted:
    """An enclave whose every connection sends the next script's pieces and is then closed."""

    def __init__(self, *scripts: Sequence[bytes]) -> None:
        self.scripts = list(scripts)
        self.timeouts: list[float] = []

    async def connect(self, port: int, timeout: float) -> trio.abc.Stream:
        self.timeouts.append(timeout)
        if not self.scripts:
            await trio.sleep(timeout)
            raise TimeoutError("nobody listens")
        pieces = self.scripts.pop(0)
        ours, theirs = memory_stream_pair()
        for piece in pieces:
            await theirs.send_all(piece)
        await theirs.send_eof()
        return ours


def _read(*scripts: Sequence[bytes]) -> tuple[Status, list[Status]]:
    seen: list[Status] = []

    async def main() -> Status:
        return await reader.read_status(Scripted(*scripts).connect, 17000, on_status=seen.append)

    return trio.run(main, clock=MockClock(autojump_threshold=0)), seen


@given(st.data(), st.text(max_size=60))
def test_statuses_are_read_however_they_are_cut(data: st.DataObject, text: str) -> None:
    stream = format_line(Running()) + format_line(Fatal(text))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    final, seen = _read([piece for piece in pieces if piece])
    assert isinstance(final, Fatal)
    assert seen == [Running(), final]


def test_a_stream_that_ends_early_is_opened_again() -> None:
    line = format_line(Exited(3))
    # The half line of the first connection must not be joined to the second's.
    final, seen = _read([format_line(Running()), line[:5]], [], [format_line(Running()), line])
    assert final == Exited(3)
    # What the second one repeats is no news.
    assert seen == [Running(), Exited(3)]


class Silent:
    """An enclave that is running, and whose earlier connections die without a word.

    Args:
        refused: attempts, after the first, that nobody answers.
        mute: connections, after the first, on which nobody says anything.
    """

    def __init__(self, refused: int = 0, mute: int = 0) -> None:
        self.refused = refused
        self.mute = mute
        self.streams: list[tuple[trio.abc.Stream, trio.abc.Stream]] = []
        self.muted: list[trio.abc.Stream] = []

    async def connect(self, port: int, timeout: float) -> trio.abc.Stream:
        if self.streams and self.refused:
            self.refused -= 1
            await trio.sleep(timeout)
            raise TimeoutError("nobody answers")
        ours, theirs = memory_stream_pair()
        if self.streams and self.mute:
            self.mute -= 1
            self.muted.append(ours)
            return ours
        self.streams.append((ours, theirs))
        await theirs.send_all(format_line(Running()))
        return ours

    def assert_closed(self) -> None:
        for ours in [*self.muted, *(ours for ours, _ in self.streams)]:
            with pytest.raises(trio.ClosedResourceError):
                trio.run(ours.receive_some)


@pytest.mark.parametrize(
    ("refused", "mute", "expected"), [(0, 0, 7), (2, 0, 5), (100, 0, 1), (0, 2, 5), (0, 100, 1), (1, 1, 5)]
)
def test_a_silent_stream_is_left_for_another_that_tells_something(refused: int, mute: int, expected: int) -> None:
    enclave, seen = Silent(refused, mute), list[Status]()

    async def main() -> Status:
        async with trio.open_nursery() as nursery:

            async def end() -> None:
                await trio.sleep(200)
                # The dead ones are told nothing, unless one has no successor.
                await enclave.streams[-1][1].send_all(format_line(Exited(3)))

            nursery.start_soon(end)
            return await reader.read_status(enclave.connect, 17000, on_status=seen.append)

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == Exited(3)
    # Whoever is running all the time is no news.
    assert seen == [Running(), Exited(3)]
    assert len(enclave.streams) == expected
    enclave.assert_closed()


@pytest.mark.parametrize("seconds", [1, 29.9, 30, 31, 67, 200])
def test_no_stream_is_left_open_when_nobody_waits_any_more(seconds: float) -> None:
    enclave = Silent(refused=1, mute=1)

    async def main() -> None:
        with trio.move_on_after(seconds):
            await reader.read_status(enclave.connect, 17000, on_status=lambda _: None)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    enclave.assert_closed()


def test_what_follows_the_final_status_is_not_looked_at() -> None:
    assert _read([format_line(Exited(0)) + b""])[0] == Exited(0)


def test_something_else_is_an_error() -> None:
    with pytest.raises(StatusError, match="not JSON"):
        _read([b"HTTP/1.1 200 OK\r\n"])


@trio_test
async def test_attempts_grow_with_the_boot(fast_clock: MockClock) -> None:
    enclave = Scripted()
    with trio.move_on_after(100):
        await reader.connect_patiently(enclave.connect, 1)
    assert enclave.timeouts[0] == 0.2
    assert enclave.timeouts[-1] == 5.0
    assert enclave.timeouts == sorted(enclave.timeouts)
    assert 20 < len(enclave.timeouts) < 60


@trio_test
async def test_a_refusal_is_tried_again(fast_clock: MockClock) -> None:
    attempts = [0]

    async def connect(port: int, timeout: float) -> trio.abc.Stream:
        attempts[0] += 1
        if attempts[0] < 5:
            raise ConnectionRefusedError
        return memory_stream_pair()[0]

    await reader.connect_patiently(connect, 1)
    assert attempts == [5]


class Broken(trio.abc.Stream):
    """A stream whose peer is gone, once it has given what was on its way."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._pieces:
            raise trio.BrokenResourceError
        return self._pieces.pop(0)

    async def send_all(self, data: object) -> None:
        raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None: ...
    async def aclose(self) -> None: ...


@trio_test
async def test_a_stream_that_breaks_has_ended(fast_clock: MockClock) -> None:
    stream = Broken(b"a line")
    assert [await reader.receive(stream), await reader.receive(stream)] == [b"a line", b""]


async def _ask(guest: Callable[[trio.abc.Stream], Awaitable[None]]) -> None:
    ours, theirs = memory_stream_pair()

    async def connect(port: int, timeout: float) -> trio.abc.Stream:
        return ours

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest, theirs)
        await reader.ask_to_end(connect, 17000, signal.SIGTERM)


@trio_test
async def test_a_request_is_sent_and_the_end_waited_for(fast_clock: MockClock) -> None:
    asked: list[bytes] = []

    async def guest(stream: trio.abc.Stream) -> None:
        await stream.send_all(format_line(Running()))
        asked.append(bytes(await stream.receive_some()))
        await trio.sleep(100)
        await stream.send_all(format_line(Exited(0)))

    await _ask(guest)
    assert asked == [b'{"stop":15}\n']
    assert trio.current_time() >= 100


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n"])
@trio_test
async def test_an_enclave_that_does_not_listen_is_left_alone(fast_clock: MockClock, answer: bytes) -> None:
    async def guest(stream: trio.abc.Stream) -> None:
        if answer:
            await stream.send_all(answer)
        await stream.aclose()

    await _ask(guest)


@trio_test
async def test_a_request_to_an_enclave_that_is_gone(fast_clock: MockClock) -> None:
    async def connect(port: int, timeout: float) -> trio.abc.Stream:
        return Broken()

    await reader.ask_to_end(connect, 17000, signal.SIGINT)
