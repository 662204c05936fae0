from __future__ import annotations

import errno
import socket
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, trio_test

from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import READABLE, Loop, open_loop
from enclaver_runtime.transport.relay.visits import ExpiredError, Steps, Visit


def pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


class Line:
    """Reads a line of five bytes, none further."""

    def __init__(self) -> None:
        self._data = b""

    @property
    def wanted(self) -> int:
        return 5 - len(self._data)

    def receive_data(self, data: bytes) -> bytes | None:
        if not data:
            raise ValueError("ended")
        self._data += data
        return None if self.wanted else self._data


async def outcome(steps: Steps[bytes]) -> list[bytes | None]:
    """What a visit comes to on a loop of its own."""
    results: list[bytes | None] = []
    with trio.fail_after(100), socket.socket() as client:
        async with open_loop() as loop:
            ended = trio.Event()

            def end(_client: socket.socket, result: bytes | None) -> None:
                results.append(result)
                ended.set()

            Visit(loop, client, steps, end)
            await ended.wait()
    return results


def line(plain: socket.socket, ahead: int) -> Steps[bytes]:
    until = trio.current_time() + 10
    received = yield from visits.receive(plain, ahead, until)
    found, behind = yield from visits.read(plain, Line(), until, received)
    return found + b"|" + behind


@pytest.mark.parametrize("ahead", [1, 3, 5, 6, 100])
@trio_test
async def test_reading_takes_no_byte_too_many_on_a_loop_and_in_a_task(ahead: int) -> None:
    left, right = pair()
    with left, right:
        for run in (outcome, visits.drive):
            right.send(b"abcdefg")
            behind = b"fg"[: max(0, ahead - 5)]
            assert await run(line(left, ahead)) in (b"abcde|" + behind, [b"abcde|" + behind])
            assert behind + left.recv(9, socket.MSG_DONTWAIT) == b"fg" if ahead < 7 else behind == b"fg"


@trio_test
async def test_what_comes_in_pieces_is_put_together() -> None:
    left, right = pair()
    with left, right:
        for run in (outcome, visits.drive):
            async with trio.open_nursery() as nursery:

                async def dribble() -> None:
                    for piece in (b"ab", b"cd", b"efg"):
                        await trio.testing.wait_all_tasks_blocked()
                        right.send(piece)

                nursery.start_soon(dribble)
                assert await run(line(left, 1)) in (b"abcde|", [b"abcde|"])
            assert left.recv(9) == b"fg"


@trio_test
async def test_an_end_of_input_is_the_readers_to_judge() -> None:
    left, right = pair()
    right.close()
    with left, pytest.raises(ValueError, match="ended"):
        await visits.drive(line(left, 5))


def test_what_does_not_come_in_time_is_expired() -> None:
    async def main() -> None:
        left, right = pair()
        with left, right:
            assert await outcome(visits.receive(left, 1, trio.current_time() + 5)) == [None]
            with pytest.raises(ExpiredError):
                await visits.drive(visits.receive(left, 1, trio.current_time() + 5))

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_visit_may_go_on_after_it_has_expired() -> None:
    async def main() -> None:
        left, right = pair()

        def patient() -> Steps[bytes]:
            start = trio.current_time()
            try:
                yield from visits.receive(left, 1, start + 5)
            except ExpiredError:
                right.send(b"%d" % (trio.current_time() - start))
            return (yield from visits.receive(left, 9, start + 10))

        with left, right:
            assert await outcome(patient()) == [b"5"]

    trio.run(main, clock=MockClock(autojump_threshold=0))


@trio_test
async def test_all_is_sent_however_slowly_it_is_taken() -> None:
    left, right = pair()
    data = bytes(3_000_000)

    def send() -> Steps[bytes]:
        yield from visits.send(left, data, trio.current_time() + 50)
        return b"sent"

    with left, right:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                count = 0
                while count < len(data):
                    await trio.lowlevel.wait_readable(right)
                    count += len(right.recv(65536))

            nursery.start_soon(read)
            assert await outcome(send()) == [b"sent"]


@trio_test
async def test_connections_come_about_or_fail_and_then_are_closed() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    async with open_loop() as loop:
        with listener:
            plain = visits.begin(socket.AF_INET, address)
            await visits.drive(visits.connected(loop, plain, trio.current_time() + 5))
            assert plain.getpeername() == address
            assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            plain.close()
        try:
            plain = visits.begin(socket.AF_INET, address)
        except ConnectionRefusedError:
            return
        with pytest.raises(ConnectionRefusedError):
            await visits.drive(visits.connected(loop, plain, trio.current_time() + 5))
        assert plain.fileno() == -1


def test_a_connection_that_neither_comes_about_nor_fails_is_given_up() -> None:
    class Stuck(socket.socket):
        def getpeername(self) -> object:
            raise OSError(errno.ENOTCONN, "not yet")

    async def main() -> None:
        left, right = pair()
        # A socket whose buffer is full is not writable either.
        with suppress(BlockingIOError):
            while True:
                left.send(bytes(65536))
        stuck = Stuck(fileno=left.detach())
        async with open_loop() as loop:
            with right, pytest.raises(ExpiredError):
                await visits.drive(visits.connected(loop, stuck, trio.current_time() + 5))
        assert stuck.fileno() == -1

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_unix_listener_without_room_refuses(tmp_path: object) -> None:
    listener = socket.socket(socket.AF_UNIX)
    path = f"{tmp_path}/full"
    with listener:
        listener.bind(path)
        listener.listen(0)
        waiting = visits.begin(socket.AF_UNIX, path)
        with waiting, pytest.raises(ConnectionRefusedError):
            visits.begin(socket.AF_UNIX, path)
    with pytest.raises(FileNotFoundError):
        visits.begin(socket.AF_UNIX, f"{tmp_path}/missing")


@trio_test
async def test_a_failure_ends_a_visit_and_a_defect_ends_the_loop() -> None:
    def fail(error: Exception) -> Steps[bytes]:
        yield from ()
        raise error

    assert await outcome(fail(ConnectionResetError())) == [None]
    loop = Loop()
    with socket.socket() as client, pytest.raises(RuntimeError, match="defect"):
        Visit(loop, client, fail(RuntimeError("defect")), lambda *_: None)
    loop.close()


@trio_test
async def test_a_visit_ends_with_its_loop() -> None:
    left, right = pair()
    other, far = pair()
    ended: list[str] = []

    def steps() -> Steps[bytes]:
        until = trio.current_time() + 50
        try:
            yield other, READABLE, until
            yield left, READABLE, until
            return b"never"
        finally:
            ended.append("closed")

    with left, right, other, far, socket.socket() as client:
        async with open_loop() as loop:
            Visit(loop, client, steps(), lambda *_: ended.append("told"))
            far.send(b"x")
            await trio.testing.wait_all_tasks_blocked()
        assert client.fileno() == -1
    assert ended == ["closed"]
