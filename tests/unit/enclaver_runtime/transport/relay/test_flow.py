from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from enclaver_runtime.transport.relay import flow as flows
from enclaver_runtime.transport.relay.flow import BULK, Flow, Means, Progress, SinkError
from enclaver_runtime.transport.relay.pipes import Pipes


@dataclass
class Line:
    """A writer, a flow, a reader."""

    writer: socket.socket
    flow: Flow
    reader: socket.socket
    means: Means

    def pass_on(self, data: bytes) -> bytes:
        """All of ``data`` through the flow, to a reader that reads whenever it can."""
        sent, received = 0, bytearray()
        while len(received) < len(data):
            if sent < len(data):
                with suppress(BlockingIOError):
                    sent += self.writer.send(data[sent : sent + 100_000])
            if self.flow.is_blocked:
                self.flow.flush()
            else:
                self.flow.move()
            try:
                received += self.reader.recv(1 << 20)
            except BlockingIOError:
                continue
        return bytes(received)


@pytest.fixture
def line() -> Iterator[Line]:
    means = Means()
    pairs = [socket.socketpair(), socket.socketpair()]
    for pair in pairs:
        for one in pair:
            one.setblocking(False)
    (writer, source), (sink, reader) = pairs
    made = Line(writer, Flow(source, sink, means), reader, means)
    yield made
    made.flow.drop()
    means.pipes.close()
    for one in (writer, source, sink, reader):
        one.close()


MUCH = bytes(range(256)) * 20_000


def fail_with(code: int, *, only: str) -> object:
    """A splice(2) that cannot do one of its two ways, as that of a socket family that does not support it."""
    splice = os.splice

    def fail(source: int, target: int, count: int, **options: int) -> int:
        is_sink = os.fstat(source).st_mode & 0o170000 == 0o010000
        if (only == "sink") is is_sink:
            raise OSError(code, os.strerror(code))
        return splice(source, target, count, **options)

    return fail


def test_little_is_copied_and_much_is_spliced(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    spliced = 0
    splice = os.splice

    def count(source: int, target: int, size: int, **options: int) -> int:
        nonlocal spliced
        moved = splice(source, target, size, **options)
        spliced += moved
        return moved

    monkeypatch.setattr(os, "splice", count)
    assert line.pass_on(MUCH[: BULK // 2]) == MUCH[: BULK // 2]
    assert spliced == 0
    assert line.pass_on(MUCH) == MUCH
    assert spliced > len(MUCH)


@pytest.mark.parametrize("only", ["source", "sink"])
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_is_no_splicing_it_is_copied(
    line: Line, monkeypatch: pytest.MonkeyPatch, only: str, code: int
) -> None:
    monkeypatch.setattr(os, "splice", fail_with(code, only=only))
    assert line.pass_on(MUCH) == MUCH


def test_where_all_pipes_are_taken_it_is_copied(line: Line) -> None:
    line.means.pipes = Pipes(most=0)
    assert line.pass_on(MUCH) == MUCH


@pytest.mark.parametrize("amount", [1000, 2 * BULK])
def test_nothing_is_read_while_the_sink_takes_no_more(line: Line, amount: int) -> None:
    line.pass_on(bytes(amount))
    sent = 0
    while not line.flow.is_blocked:
        with suppress(BlockingIOError):
            sent += line.writer.send(bytes(65536))
        line.flow.move()
    assert line.flow.flush() is Progress.SINK
    assert sent < 4 << 20
    line.flow.drop()
    assert not line.flow.is_blocked


@pytest.mark.parametrize("amount", [0, 2 * BULK])
def test_an_end_and_failures_show_on_either_path(line: Line, amount: int) -> None:
    line.pass_on(bytes(amount))
    assert line.flow.move() is Progress.SOURCE
    line.writer.send(b"x")
    line.reader.close()
    with pytest.raises(SinkError):
        line.flow.move()
    line.flow.drop()
    line.writer.send(b"y")
    assert line.flow.discard() is Progress.SOURCE
    line.writer.close()
    assert line.flow.discard() is Progress.NOTHING


@pytest.mark.parametrize("amount", [0, 2 * BULK])
def test_the_end_of_the_source(line: Line, amount: int) -> None:
    line.pass_on(bytes(amount))
    line.writer.close()
    assert line.flow.move() is Progress.NOTHING


def test_what_splicing_fails_of_is_the_sources_failure(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.pass_on(bytes(2 * BULK))
    monkeypatch.setattr(os, "splice", fail_with(errno.ECONNRESET, only="source"))
    with pytest.raises(ConnectionResetError):
        line.flow.move()


def test_what_comes_first_is_sent_first() -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right:
        flow = Flow(left, left, Means(), b"first")
        assert flow.is_blocked
        assert flow.flush() is Progress.SOURCE
        assert right.recv(9) == b"first"


def test_many_slow_readers_hold_little_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MUCH_HELD", flows.BUFFER)
    means, made = Means(), list[Line]()
    with ExitStack() as stack:
        for _ in range(20):
            pairs = [socket.socketpair(), socket.socketpair()]
            for one in (one for pair in pairs for one in pair):
                stack.enter_context(one).setblocking(False)
            (writer, source), (sink, reader) = pairs
            # Not even the first of what is read is taken all at once.
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 512 * 1024)
            made.append(Line(writer, Flow(source, sink, means), reader, means))
            while not made[-1].flow.is_blocked:
                with suppress(BlockingIOError):
                    writer.send(bytes(256 * 1024))
                made[-1].flow.move()
        assert flows.BUFFER // 2 < means.held < 2 * flows.BUFFER + len(made) * flows.LITTLE
        for line in made[1:]:
            line.flow.drop()
        assert made[0].pass_on(b"") == b""
        made[0].flow.drop()
        assert means.held == 0


def test_with_much_held_all_still_comes_in_order(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MUCH_HELD", 0)
    line.means.pipes = Pipes(most=0)
    assert line.pass_on(MUCH) == MUCH
    assert line.means.held == 0
