"""One run of an enclave, on whatever it runs: booted, served, followed, and ended as its user wishes.

The first of SIGINT, SIGTERM and SIGHUP reaches the app as a request to end, if the app is there already and the enclave
is one that takes requests; the enclave then ends with it. A second one, or an app that takes too long, ends the enclave
at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import trio

from enclaver_runtime.parent import exit_codes, reader
from enclaver_runtime.parent.errors import plain_errors
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.follow import follow
from enclaver_runtime.parent.limits import allow_many_files
from enclaver_runtime.parent.services import ParentService
from enclaver_runtime.parent.sink import Sink
from enclaver_runtime.protocol.status import PORT as STATUS_PORT
from enclaver_runtime.protocol.status import Running, Status

#: Seconds from the request to the end. In an enclave, an app has 10 of them, what it left running another 10.
PATIENCE_SECONDS = 30.0

# A terminal that is closed asks the app as everybody does who means it: an app often takes SIGHUP for something else.
_ASKED_BY = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}


class Enclave(Protocol):
    """A started enclave."""

    @property
    def half_closes(self) -> bool:
        """Whether the end of one direction of its streams leaves the other one open."""

    async def connect(self, port: int, timeout: float) -> trio.SocketStream:
        """One attempt to connect to a port of it; raises OSError."""

    def listen(self, port: int) -> trio.SocketListener:
        """Listen for its connections to the parent's port; raises OSError."""

    async def wait_booting(self) -> None:
        """Wait until its machine runs: what it is given to boot counts from then on."""

    async def wait_ended(self) -> str:
        """Wait until its machine has ended; how, for people."""

    def console_tail(self) -> tuple[str, ...]:
        """The last lines of its console, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a run is to do with an enclave.

    Args:
        log: gets the app's output.
        boot_timeout: seconds from the boot's start until the app's first status must have come.
        tell: called with sentences for the user.
        on_status: called with every status.
        services: what runs beside the enclave, from :func:`enclaver_runtime.parent.services.services`.
        asks: whether the enclave takes requests to end, as this project's do.
        patience: seconds that a request to end may take.
    """

    log: Sink
    boot_timeout: float
    tell: Callable[[str], None]
    on_status: Callable[[Status], None] = lambda _: None
    services: Sequence[ParentService] = ()
    asks: bool = True
    patience: float = PATIENCE_SECONDS


async def run(start: Callable[[], AbstractAsyncContextManager[Enclave]], session: Session) -> Outcome:
    """Start an enclave, follow its app to its end, and leave what ``start`` leaves: nothing.

    To be called in the main thread, since it receives signals.

    Raises:
        ParentError: the enclave ended or stayed silent without a final status, or ``start`` raised it.
        OSError: whatever else ``start``, a service or the log raises.
    """
    allow_many_files()
    one = _Run(session)
    with plain_errors():
        # Signals are received until nothing of the enclave is left: one more must not disturb the ending.
        async with trio.open_nursery() as receiving:
            async with trio.open_nursery() as nursery:
                await receiving.start(one.receive_signals, nursery)
                async with start() as enclave:
                    one.enclave = enclave
                    try:
                        for service in session.services:
                            await nursery.start(service, enclave)
                        one.ended = await follow(
                            enclave, log=one.log, boot_timeout=session.boot_timeout, on_status=one.note_status
                        )
                    finally:
                        # From here on nobody is there to be asked.
                        one.enclave = None
                nursery.cancel_scope.cancel()
            receiving.cancel_scope.cancel()
    return one.outcome()


class _Run:
    """What the tasks of one :func:`run` share."""

    def __init__(self, session: Session) -> None:
        self.enclave: Enclave | None = None
        self.ended: Status | None = None
        self._session = session
        self._caught: list[int] = []
        self._running = False

    async def log(self, data: bytes) -> None:
        """Give the session's log some. Who reads it may go by the signal that asks the app to end, and that goes on."""
        try:
            await self._session.log(data)
        except OSError:
            if not self._caught:
                raise

    def note_status(self, status: Status) -> None:
        self._running = isinstance(status, Running)
        self._session.on_status(status)

    def outcome(self) -> Outcome:
        if self._caught:
            return exit_codes.interrupted(self._caught[0], self.ended)
        assert self.ended is not None
        return exit_codes.outcome(self.ended)

    async def receive_signals(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        # A signal that this process was started to ignore (nohup, a script's background job) stays ignored.
        wanted = [one for one in _ASKED_BY if signal.getsignal(one) is not signal.SIG_IGN]
        if not wanted:
            task_status.started()
            return
        with trio.open_signal_receiver(*wanted) as received:
            task_status.started()
            async for number in received:
                self._caught.append(number)
                if len(self._caught) > 1 or not (self._session.asks and self._running and self.enclave):
                    nursery.cancel_scope.cancel()
                else:
                    nursery.start_soon(self._ask, self.enclave, signal.Signals(number), nursery.cancel_scope)

    async def _ask(self, enclave: Enclave, number: signal.Signals, scope: trio.CancelScope) -> None:
        patience = self._session.patience
        self._session.tell(
            f"{number.name}: the app is asked to end and has {patience:g} s; a second signal ends the enclave at once"
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.ask_to_end, enclave.connect, STATUS_PORT, int(_ASKED_BY[number]))
            # The run ends with the enclave, and this task with the run.
            await trio.sleep(patience)
            self._session.tell(f"the app has not ended within {patience:g} s")
            scope.cancel()
