"""Follow a started enclave to its end: its log goes to a sink, its final status becomes the result.

Three things happen at once and may end in any order: the status arrives, the log ends, the enclave's machine
ends. The rules: a final status always counts, even when it is read after the machine has ended; the log is read
on after it for a bounded time, and what was read is written, however long the sink takes; a machine that ends
without a final status is an error, never a wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio
import trio.abc

from enclaver_runtime.parent import reader
from enclaver_runtime.parent.errors import ParentError, plain_errors
from enclaver_runtime.parent.log_copy import LogCopy
from enclaver_runtime.parent.sink import Sink
from enclaver_runtime.protocol import log as log_protocol
from enclaver_runtime.protocol import status as status_protocol
from enclaver_runtime.protocol.status import Status

# After the machine's end nothing new is sent, but what was sent may not have been read yet.
_AFTER_END = 1.0
# After the end of the status the log is read until it ends; if nobody ends it, until it has been silent for so
# long (less when the machine has ended: then only what lies in sockets is missing), and never for longer
# than this.
_SILENCE = 1.0
_SILENCE_AFTER_END = 0.2
_LONGEST_DRAIN = 15.0
_LOOK = 0.05


class Enclave(Protocol):
    """A started enclave."""

    async def connect(self, port: int, timeout: float) -> trio.abc.Stream:
        """One attempt to connect to a port of it; raises OSError."""

    async def wait_booting(self) -> None:
        """Wait until its machine runs: what it is given to boot counts from then on."""

    async def wait_ended(self) -> str:
        """Wait until its machine has ended; how, for people."""

    def console_tail(self) -> tuple[str, ...]:
        """The last lines of its console, if it has one."""


async def follow(
    enclave: Enclave,
    *,
    log: Sink,
    boot_timeout: float,
    on_status: Callable[[Status], None],
    status_port: int = status_protocol.PORT,
    log_port: int = log_protocol.PORT,
) -> Status:
    """Follow ``enclave`` until its app has ended; the final status.

    Args:
        log: gets the app's output, all of it before this returns.
        boot_timeout: seconds from when the machine runs until the first status must have come.
        on_status: called with every status.

    Raises:
        ParentError: the machine ended without a final status, no status came in time, or what came is none.
        OSError: whatever else ``log`` raises.
    """
    run = _Run(enclave, LogCopy(log), on_status=on_status)
    with plain_errors():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.watch_end)
            nursery.start_soon(run.log.read, enclave.connect, log_port)
            async with trio.open_nursery() as writing:
                writing.start_soon(run.log.write)
                result = await run.read_status(status_port, boot_timeout)
                await run.drain_log()
            nursery.cancel_scope.cancel()
    if isinstance(result, ParentError):
        raise result
    return result


class _Run:
    """What the tasks of one :func:`follow` share."""

    def __init__(self, enclave: Enclave, log: LogCopy, *, on_status: Callable[[Status], None]) -> None:
        self.log = log
        self._enclave = enclave
        self._on_status = on_status
        self._status_scope = trio.CancelScope()
        self._ended: str | None = None

    async def watch_end(self) -> None:
        self._ended = await self._enclave.wait_ended()
        await trio.sleep(_AFTER_END)
        self._status_scope.cancel()

    async def read_status(self, port: int, boot_timeout: float) -> Status | ParentError:
        """The final status; or why there is none, to be raised when the log has been written."""

        def note(status: Status) -> None:
            self._status_scope.deadline = float("inf")
            self._on_status(status)

        with self._status_scope:
            await self._enclave.wait_booting()
            self._status_scope.deadline = trio.current_time() + boot_timeout
            try:
                return await reader.read_status(self._enclave.connect, port, on_status=note)
            except status_protocol.StatusError as problem:
                return ParentError(f"the enclave speaks another protocol: {problem}")
        if self._ended is not None:
            what = f"the enclave's machine ended ({self._ended}) before it told how the app ended"
            return ParentError(what, console=self._enclave.console_tail())
        return ParentError(
            f"the enclave told no status within {boot_timeout:g} s of its start",
            cure="a longer boot timeout, if the machine is slow",
            console=self._enclave.console_tail(),
        )

    async def drain_log(self) -> None:
        """Read the log to its end, or for as long as one may hope for it."""
        start = trio.current_time()
        while not self.log.has_ended:
            now = trio.current_time()
            silence = now - max(self.log.last_read, start)
            patience = _SILENCE if self._ended is None else _SILENCE_AFTER_END
            if silence >= patience or now - start >= _LONGEST_DRAIN:
                self.log.end()
            with trio.move_on_after(_LOOK):
                await self.log.wait_ended()
