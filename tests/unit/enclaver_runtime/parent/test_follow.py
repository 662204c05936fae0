from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import trio
import trio.abc
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair, trio_test

from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.follow import follow
from enclaver_runtime.protocol.status import Exited, Fatal, Running, Signaled, Status, format_line


@pytest.fixture
def fast_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


Pipe = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


@dataclass
class FakeEnclave:
    """An enclave that listens from ``boots_at`` on; the test plays the guest on the streams it gets."""

    boots_at: float = 1.6
    launched_at: float = 0.0
    guests: dict[int, Pipe] = field(default_factory=dict)
    ended: trio.Event = field(default_factory=trio.Event)

    async def connect(self, port: int, timeout: float) -> trio.abc.Stream:
        if trio.current_time() < self.boots_at or port in self.guests or self.ended.is_set():
            await trio.sleep(timeout)
            raise TimeoutError("no answer")
        ours, self.guests[port] = memory_stream_pair()
        return ours

    async def guest(self, port: int) -> Pipe:
        while port not in self.guests:
            await trio.sleep(0.01)
        return self.guests[port]

    async def wait_booting(self) -> None:
        await trio.sleep(self.launched_at)

    async def wait_ended(self) -> str:
        await self.ended.wait()
        return "QEMU: exit code 1"

    def console_tail(self) -> tuple[str, ...]:
        return ("qemu: no such kernel",)


@dataclass
class Run:
    """One follow() under test."""

    enclave: FakeEnclave = field(default_factory=FakeEnclave)
    boot_timeout: float = 60.0
    log: bytearray = field(default_factory=bytearray)
    statuses: list[Status] = field(default_factory=list)

    async def sink(self, data: bytes) -> None:
        self.log.extend(data)

    async def follow(self) -> Status:
        return await follow(self.enclave, log=self.sink, boot_timeout=self.boot_timeout, on_status=self.statuses.append)

    async def status(self, *statuses: Status) -> None:
        stream = await self.enclave.guest(17000)
        for status in statuses:
            await stream.send_all(format_line(status))


@trio_test
async def test_a_run_from_boot_to_exit(fast_clock: MockClock) -> None:
    run = Run()

    async def guest() -> None:
        await run.status(Running())
        log = await run.enclave.guest(17001)
        await log.send_all(b"hello\n")
        await trio.sleep(3600)
        await log.send_all(b"bye\n")
        await log.send_eof()
        await run.status(Exited(42))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        assert await run.follow() == Exited(42)
    assert run.log == b"hello\nbye\n"
    assert run.statuses == [Running(), Exited(42)]


@trio_test
async def test_the_log_is_drained_after_the_status(fast_clock: MockClock) -> None:
    run = Run()

    async def guest() -> None:
        await run.status(Exited(0))
        log = await run.enclave.guest(17001)
        for number in range(10):
            await trio.sleep(0.9)
            await log.send_all(b"%d\n" % number)
        # Nobody ends the log: silence does.

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        assert await run.follow() == Exited(0)
    assert run.log.split() == [b"%d" % number for number in range(10)]
    assert 11 < trio.current_time() < 13


@trio_test
async def test_a_log_without_end_is_cut_off(fast_clock: MockClock) -> None:
    run = Run()

    async def guest() -> None:
        await run.status(Signaled(9))
        log = await run.enclave.guest(17001)
        while True:
            await trio.sleep(0.5)
            await log.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        assert await run.follow() == Signaled(9)
        nursery.cancel_scope.cancel()
    assert trio.current_time() < 20


@trio_test
async def test_a_log_without_end_is_cut_off_also_when_the_sink_is_behind(fast_clock: MockClock) -> None:
    run = Run()

    async def sink(data: bytes) -> None:
        await trio.sleep(1)

    async def guest() -> None:
        await run.status(Signaled(9))
        log = await run.enclave.guest(17001)
        with suppress(trio.BrokenResourceError):
            while True:
                await trio.sleep(0.1)
                await log.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        with trio.fail_after(20):
            assert await follow(run.enclave, log=sink, boot_timeout=60, on_status=run.statuses.append) == Signaled(9)
        nursery.cancel_scope.cancel()


@trio_test
async def test_a_final_status_counts_after_the_machine_ended(fast_clock: MockClock) -> None:
    run = Run()

    async def guest() -> None:
        stream = await run.enclave.guest(17000)
        line = format_line(Fatal('no "such" app\n\u2028'))
        await stream.send_all(line[:7])
        run.enclave.ended.set()
        await trio.sleep(0.5)
        await stream.send_all(line[7:])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        assert await run.follow() == Fatal('no "such" app\n\u2028')
    # The log was never reached, and with a machine that has ended it is not waited for.
    assert trio.current_time() < 3


@pytest.mark.parametrize("when", [0.0, 1.0, 500.0])
@trio_test
async def test_a_machine_that_ends_without_status_is_an_error(fast_clock: MockClock, when: float) -> None:
    run = Run()

    async def guest() -> None:
        await trio.sleep(when)
        run.enclave.ended.set()

    async def status() -> None:
        await run.status(Running())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        nursery.start_soon(status)
        with pytest.raises(ParentError, match=r"ended \(QEMU: exit code 1\) before.*\n.*\n  \| qemu: no such kernel"):
            await run.follow()
        nursery.cancel_scope.cancel()
    assert trio.current_time() < when + 2


@trio_test
async def test_a_silent_boot_ends_in_time(fast_clock: MockClock) -> None:
    run = Run(enclave=FakeEnclave(boots_at=1e9), boot_timeout=25)
    with pytest.raises(ParentError, match="no status within 25 s"):
        await run.follow()
    assert 25 <= trio.current_time() < 27


@trio_test
async def test_the_boot_timeout_ends_with_the_first_status(fast_clock: MockClock) -> None:
    run = Run(boot_timeout=5)

    async def guest() -> None:
        await run.status(Running())
        await trio.sleep(1000)
        await run.status(Exited(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        assert await run.follow() == Exited(1)


@trio_test
async def test_another_protocol_is_an_error(fast_clock: MockClock) -> None:
    run = Run()

    async def guest() -> None:
        await (await run.enclave.guest(17000)).send_all(b'{"status":"done"}\n')

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        with pytest.raises(ParentError, match=r"speaks another protocol: .*unknown form"):
            await run.follow()


@trio_test
async def test_a_sink_that_fails_ends_the_run(fast_clock: MockClock) -> None:
    run = Run()

    async def sink(data: bytes) -> None:
        raise BrokenPipeError("the reader is gone")

    async def guest() -> None:
        await (await run.enclave.guest(17001)).send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        with pytest.raises(BrokenPipeError, match="gone"):
            await follow(run.enclave, log=sink, boot_timeout=60, on_status=run.statuses.append)


@trio_test
async def test_what_a_machine_takes_to_start_is_no_boot(fast_clock: MockClock) -> None:
    run = Run(enclave=FakeEnclave(boots_at=1e9, launched_at=500), boot_timeout=25)
    with pytest.raises(ParentError, match="no status within 25 s"):
        await run.follow()
    assert 525 <= trio.current_time() < 527


@trio_test
async def test_a_slow_sink_gets_all_however_long_it_takes(fast_clock: MockClock) -> None:
    run, written = Run(), list[bytes]()

    async def sink(data: bytes) -> None:
        await trio.sleep(1000)
        written.append(data)

    async def guest() -> None:
        await run.status(Running())
        log = await run.enclave.guest(17001)
        for line in (b"one\n", b"two\n", b"last words\n"):
            await log.send_all(line)
            await trio.sleep(1)
        await run.status(Exited(0))
        run.enclave.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        assert await follow(run.enclave, log=sink, boot_timeout=60, on_status=run.statuses.append) == Exited(0)
    assert b"".join(written) == b"one\ntwo\nlast words\n"


@trio_test
async def test_the_log_before_a_failure_is_written_too(fast_clock: MockClock) -> None:
    run = Run()

    async def guest() -> None:
        log = await run.enclave.guest(17001)
        await log.send_all(b"why\n")
        run.enclave.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        with pytest.raises(ParentError, match="ended"):
            await run.follow()
    assert run.log == b"why\n"
