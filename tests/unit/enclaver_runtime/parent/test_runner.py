from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime.parent import runner
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.runner import Session
from enclaver_runtime.parent.services import Enclave as ServedEnclave
from enclaver_runtime.protocol import stop
from enclaver_runtime.protocol.status import Exited, Running, Signaled, Status, format_line

STATUS, LOG = 17000, 17001


@dataclass
class FakeEnclave:
    """An enclave whose app runs until it is asked to end, and then takes its time."""

    statuses: tuple[Status, ...] = (Running(),)
    last: Status = field(default_factory=lambda: Exited(3))
    obeys: bool = True
    asked: list[int] = field(default_factory=list)
    left: bool = False
    _end: trio.Event = field(default_factory=trio.Event)
    _nursery: trio.Nursery | None = None

    half_closes = True

    @asynccontextmanager
    async def start(self) -> AsyncIterator[FakeEnclave]:
        async with trio.open_nursery() as self._nursery:
            try:
                yield self
            finally:
                self.left = True
                self._nursery.cancel_scope.cancel()

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        ours, theirs = trio.socket.socketpair()
        assert self._nursery is not None
        serve = {STATUS: self._status, LOG: self._log}[port]
        self._nursery.start_soon(serve, trio.SocketStream(theirs))
        return trio.SocketStream(ours)

    def listen(self, port: int) -> trio.SocketListener:
        raise NotImplementedError

    async def wait_booting(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_ended(self) -> str:
        await trio.sleep_forever()
        raise AssertionError

    def console_tail(self) -> tuple[str, ...]:
        return ()

    async def _status(self, stream: trio.SocketStream) -> None:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, stream)
            for status in self.statuses:
                await stream.send_all(format_line(status))
            await self._end.wait()
            await stream.send_all(format_line(self.last))
            nursery.cancel_scope.cancel()

    async def _listen(self, stream: trio.SocketStream) -> None:
        decoder = stop.StopDecoder()
        while data := await stream.receive_some():
            self.asked += decoder.receive_data(bytes(data))
            if self.asked and self.obeys:
                self._end.set()

    async def _log(self, stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"hello\n")
            await self._end.wait()
            await stream.send_all(b"bye\n")


@dataclass
class Run:
    """One run under test, and what it told."""

    enclave: FakeEnclave = field(default_factory=FakeEnclave)
    asks: bool = True
    patience: float = 60.0
    log: bytearray = field(default_factory=bytearray)
    said: list[str] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    async def sink(self, data: bytes) -> None:
        self.log += data

    async def run(self, *services: object) -> None:
        session = Session(
            log=self.sink,
            boot_timeout=60,
            tell=self.said.append,
            on_status=self.statuses.append,
            services=services,  # type: ignore[arg-type]
            asks=self.asks,
            patience=self.patience,
        )
        self.outcomes.append(await runner.run(self.enclave.start, session))
        assert self.enclave.left

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The body runs once the app is known to run, and its log is there."""
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.run)
                while not self.log or not (self.statuses or self.enclave.statuses == ()):
                    await trio.sleep(0.01)
                yield


@trio_test
async def test_a_run_to_the_apps_own_end() -> None:
    run = Run()
    async with run.running():
        run.enclave._end.set()
    assert run.outcomes == [Outcome(3, "the app exited with code 3")]
    assert run.log == b"hello\nbye\n"
    assert run.statuses == [Running(), Exited(3)]
    assert run.said == []


@pytest.mark.parametrize(
    ("number", "asked"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)],
)
@trio_test
async def test_a_signal_reaches_the_app_and_the_enclave_ends_with_it(
    number: signal.Signals, asked: signal.Signals
) -> None:
    run = Run()
    async with run.running():
        os.kill(os.getpid(), number)
    told = f"interrupted by signal {int(number)} ({number.name})"
    assert run.outcomes == [Outcome(109, f"{told}; the app exited with code 3")]
    assert run.enclave.asked == [asked]
    assert run.log == b"hello\nbye\n"
    (said,) = run.said
    assert said.startswith(f"{number.name}: the app is asked to end and has 60 s")


@trio_test
async def test_who_reads_the_log_may_go_with_the_signal() -> None:
    run = Run()

    async def sink(data: bytes) -> None:
        # As `enclaver run ... | tee` has it when Ctrl-C ends tee, too.
        if b"bye" in data:
            raise BrokenPipeError
        run.log.extend(data)

    run.sink = sink  # type: ignore[method-assign]
    async with run.running():
        os.kill(os.getpid(), signal.SIGINT)
    assert run.outcomes == [Outcome(109, "interrupted by signal 2 (SIGINT); the app exited with code 3")]


@trio_test
async def test_who_reads_the_log_ends_the_run_otherwise() -> None:
    run = Run()

    async def sink(data: bytes) -> None:
        raise BrokenPipeError

    run.sink = sink  # type: ignore[method-assign]
    with pytest.raises(BrokenPipeError):
        await run.run()
    assert run.enclave.left


@trio_test
async def test_a_second_signal_ends_the_enclave_at_once() -> None:
    run = Run(FakeEnclave(obeys=False))
    async with run.running():
        os.kill(os.getpid(), signal.SIGINT)
        while not run.enclave.asked:
            await trio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
    assert run.outcomes == [Outcome(109, "interrupted by signal 2 (SIGINT)")]


@trio_test
async def test_whoever_is_impatient_disturbs_no_ending() -> None:
    done: list[str] = []

    @asynccontextmanager
    async def start() -> AsyncIterator[runner.Enclave]:
        async with run.enclave.start() as enclave:
            try:
                yield enclave
            finally:
                # As nitro-cli is waited for.
                with trio.CancelScope(shield=True):
                    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
                        os.kill(os.getpid(), number)
                        await trio.sleep(0.01)
                done.append("ended")

    run = Run()
    session = Session(log=run.sink, boot_timeout=60, tell=run.said.append, asks=False)
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            while not run.log:
                await trio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        nursery.start_soon(interrupt)
        assert await runner.run(start, session) == Outcome(109, "interrupted by signal 2 (SIGINT)")
    assert done == ["ended"]


@trio_test
async def test_an_app_that_is_ended_already_is_not_asked() -> None:
    async def service(enclave: ServedEnclave, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while not run.statuses:
            await trio.sleep(0.01)
        raise ParentError("it broke")

    @asynccontextmanager
    async def start() -> AsyncIterator[runner.Enclave]:
        async with run.enclave.start() as enclave:
            try:
                yield enclave
            finally:
                with trio.CancelScope(shield=True):
                    os.kill(os.getpid(), signal.SIGINT)
                    await trio.sleep(0.01)

    run = Run()
    session = Session(
        log=run.sink, boot_timeout=60, tell=run.said.append, on_status=run.statuses.append, services=[service]
    )
    with pytest.raises(ParentError, match="it broke"):
        await runner.run(start, session)
    assert run.said == []


@trio_test
async def test_patience_ends() -> None:
    run = Run(FakeEnclave(obeys=False), patience=0.2)
    async with run.running():
        os.kill(os.getpid(), signal.SIGTERM)
    assert run.outcomes == [Outcome(109, "interrupted by signal 15 (SIGTERM)")]
    assert run.said[-1] == "the app has not ended within 0.2 s"


@pytest.mark.parametrize("run", [Run(asks=False), Run(FakeEnclave(statuses=()))], ids=["foreign", "booting"])
@trio_test
async def test_an_enclave_that_cannot_be_asked_is_ended(run: Run) -> None:
    async with run.running():
        os.kill(os.getpid(), signal.SIGTERM)
    assert run.outcomes == [Outcome(109, "interrupted by signal 15 (SIGTERM)")]
    assert run.enclave.asked == []


@trio_test
async def test_a_signal_ends_a_start_that_takes_its_time() -> None:
    @asynccontextmanager
    async def start() -> AsyncIterator[runner.Enclave]:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep(1e9)
        yield FakeEnclave()

    run = Run()
    session = Session(log=run.sink, boot_timeout=60, tell=run.said.append)
    assert await runner.run(start, session) == Outcome(109, "interrupted by signal 15 (SIGTERM)")


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@trio_test
async def test_a_signal_that_was_to_be_ignored_is() -> None:
    run = Run(FakeEnclave(last=Signaled(9)))
    with ignored(signal.SIGHUP):
        async with run.running():
            os.kill(os.getpid(), signal.SIGHUP)
            run.enclave._end.set()
    assert run.outcomes == [Outcome(107, "the app was ended by signal 9 (SIGKILL)")]


@trio_test
async def test_a_run_that_was_to_ignore_every_signal_runs() -> None:
    run = Run()
    with ignored(signal.SIGHUP), ignored(signal.SIGINT), ignored(signal.SIGTERM):
        async with run.running():
            os.kill(os.getpid(), signal.SIGTERM)
            run.enclave._end.set()
    assert run.outcomes == [Outcome(3, "the app exited with code 3")]


@trio_test
async def test_services_run_beside_the_enclave_and_end_with_it() -> None:
    seen: list[object] = []

    async def service(enclave: ServedEnclave, *, task_status: trio.TaskStatus[None]) -> None:
        seen.append(enclave)
        task_status.started()
        try:
            run.enclave._end.set()
            await trio.sleep_forever()
        finally:
            seen.append("ended")

    run = Run()
    await run.run(service)
    assert seen == [run.enclave, "ended"]


@trio_test
async def test_a_service_that_cannot_start_is_the_runs_error() -> None:
    async def service(enclave: ServedEnclave, *, task_status: trio.TaskStatus[None]) -> None:
        raise ParentError("the port is taken")

    run = Run()
    with pytest.raises(ParentError, match="the port is taken"):
        await run.run(service)
    assert run.enclave.left


@trio_test
async def test_of_failures_at_once_the_first_is_told() -> None:
    async def service(enclave: ServedEnclave, *, task_status: trio.TaskStatus[None]) -> None:
        raise ParentError("the port is taken")

    @asynccontextmanager
    async def start() -> AsyncIterator[runner.Enclave]:
        async def launch() -> None:
            # As nitro-cli is, which a failure does not interrupt.
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
            raise ParentError("no memory")

        async with run.enclave.start() as enclave, trio.open_nursery() as nursery:
            nursery.start_soon(launch)
            yield enclave

    run = Run()
    session = Session(log=run.sink, boot_timeout=60, tell=run.said.append, services=[service])
    with pytest.raises(ParentError, match="the port is taken"):
        await runner.run(start, session)
