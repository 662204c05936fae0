from __future__ import annotations

import threading
from pathlib import Path

import pytest

from enclaver.core.eif import fanout
from enclaver.core.eif.fanout import BUFFER_SIZE, BUFFERS, Fanout
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import FileContent, InlineContent


class Collector:
    """A sink that keeps copies of what it got."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def __call__(self, chunk: memoryview) -> None:
        self.chunks.append(bytes(chunk))

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


def test_every_sink_gets_what_it_was_named_for_in_order(tmp_path: Path) -> None:
    path = tmp_path / "data"
    data = bytes(range(251)) * (BUFFER_SIZE // 100)
    path.write_bytes(data)
    one, two = Collector(), Collector()
    marks: list[int] = []
    with Fanout() as pump:
        first, second = pump.sink(one), pump.sink(two)
        pump.feed(InlineContent(b"head"), [first])
        pump.feed(FileContent(path, 3, len(data) - 5), [first, second])
        second.call(lambda: marks.append(len(two.data)))
        pump.feed(InlineContent(b""), [first, second])
        pump.feed(InlineContent(b"tail"), [second])
    assert one.data == b"head" + data[3:-2]
    assert two.data == data[3:-2] + b"tail"
    assert marks == [len(data) - 5]


@pytest.mark.slow
def test_a_slow_sink_holds_the_reader_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "BUFFER_SIZE", 10)
    path = tmp_path / "data"
    path.write_bytes(bytes(10 * BUFFERS * 3))
    go, ahead = threading.Event(), []

    def slow(chunk: memoryview) -> None:
        go.wait(5)

    with Fanout() as pump:
        held = pump.sink(slow)
        quick = pump.sink(lambda chunk: ahead.append(len(chunk)))
        feeder = threading.Thread(target=pump.feed, args=(FileContent(path, 0, 10 * BUFFERS * 3), [held, quick]))
        feeder.start()
        feeder.join(0.3)
        assert feeder.is_alive()
        assert len(ahead) <= BUFFERS
        go.set()
        feeder.join(5)
        assert not feeder.is_alive()
    assert sum(ahead) == 10 * BUFFERS * 3


def test_a_sinks_error_ends_the_pass_and_comes_through(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(BUFFER_SIZE * (BUFFERS + 3)))

    def full(chunk: memoryview) -> None:
        raise OSError(28, "No space left on device")

    def run() -> None:
        with Fanout() as pump:
            sinks = [pump.sink(full), pump.sink(Collector())]
            pump.feed(FileContent(path, 0, BUFFER_SIZE * (BUFFERS + 3)), sinks)
            pump.feed(FileContent(path, 0, BUFFER_SIZE * (BUFFERS + 3)), sinks)

    with pytest.raises(OSError, match="No space"):
        run()


def test_an_error_of_a_call_comes_through_too() -> None:
    def fail() -> None:
        raise ValueError("from the call")

    def run() -> None:
        with Fanout() as pump:
            sink = pump.sink(lambda chunk: None)
            sink.call(fail)
            pump.feed(InlineContent(b"x"), [sink])

    with pytest.raises(ValueError, match="from the call"):
        run()


def test_the_readers_error_wins_and_the_threads_end(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    before = threading.active_count()
    with pytest.raises(EnclaverError, match="ends 1 bytes before"), Fanout() as pump:
        pump.feed(FileContent(path, 0, 4), [pump.sink(lambda chunk: None)])
    with pytest.raises(EnclaverError, match="No such file"), Fanout() as pump:
        pump.feed(FileContent(tmp_path / "none", 0, 4), [pump.sink(lambda chunk: None)])
    assert threading.active_count() == before
