"""The app's life: started, waited for, and nothing left of it in the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import trio

from enclaver_runtime.config import App
from enclaver_runtime.enclave.launch import launch
from enclaver_runtime.enclave.processes import end_all
from enclaver_runtime.enclave.reaper import Child, Reaper
from enclaver_runtime.enclave.stop import Stop
from enclaver_runtime.protocol.status import Exited, Signaled

#: Seconds from the request to end to SIGKILL.
GRACE_SECONDS = 10.0


async def run(
    app: App,
    *,
    root: str,
    output: int,
    reaper: Reaper,
    stop: Stop,
    grace: float = GRACE_SECONDS,
    started: Callable[[int], object] = lambda _: None,
) -> Exited | Signaled:
    """Run ``app`` to its end and return how it ended; ``started`` is called with its pid when it runs.

    When ``stop`` is asked for, the app gets its signal (in SIGTERM's place, the one that the app takes for it) and,
    after ``grace`` seconds, SIGKILL. What the app leaves running is ended by SIGTERM and SIGKILL, and so is all of it
    when this is cancelled. ``output`` stays open.

    Raises:
        LaunchError, OSError: the app could not be started.
    """
    try:
        child = await launch(app, root=root, output=output, reaper=reaper)
        started(child.pid)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_terminate_on, stop, child, app.stop_signal or signal.SIGTERM, grace)
            status = await child.wait()
            nursery.cancel_scope.cancel()
    finally:
        # Also when cancelled, if only half launched: a service has failed, and the app must not go on without it.
        with trio.CancelScope(shield=True):
            await end_all(grace)
    return outcome(status)


def outcome(status: int) -> Exited | Signaled:
    """A wait status as what the parent is told."""
    if os.WIFSIGNALED(status):
        return Signaled(os.WTERMSIG(status))
    return Exited(os.WEXITSTATUS(status))


async def _terminate_on(stop: Stop, child: Child, terminate: int, grace: float) -> None:
    """The app alone is asked first, so that it can end its own processes in its own order."""
    number = await stop.wait()
    with suppress(ProcessLookupError):
        child.kill(terminate if number == signal.SIGTERM else number)
    await trio.sleep(grace)
    with suppress(ProcessLookupError):
        child.kill(signal.SIGKILL)
