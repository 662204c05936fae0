"""The processes below this one, and their end.

Found by their parents in /proc rather than signalled all at once with kill(-1): the same code then works, and
is tested, where this process is not PID 1.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import trio

_POLL_SECONDS = 0.02
_KILL_SECONDS = 2.0


def descendants(of: int | None = None) -> set[int]:
    """The processes below ``of`` (this one when None) that have not ended yet."""
    parents: dict[int, int] = {}
    ended = set()
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        # A process may end while we look.
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            # The name in parentheses may hold anything, parentheses too: the last one ends it.
            state, parent = file.read().rpartition(b")")[2].split()[:2]
            parents[int(name)] = int(parent)
            if state in (b"Z", b"X"):
                ended.add(int(name))
    root = os.getpid() if of is None else of
    found: set[int] = set()
    level = {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level} - found
        found |= level
    return found - ended - {root}


async def end_all(grace: float) -> None:
    """Ask every process below this one to end, and after ``grace`` seconds make it.

    Returns when none is left, or when one cannot be killed (it is stuck in the kernel). Something else must
    reap them.
    """
    told: set[int] = set()
    with trio.move_on_after(grace):
        while alive := descendants():
            _signal(alive - told, signal.SIGTERM)
            told |= alive
            await trio.sleep(_POLL_SECONDS)
    with trio.move_on_after(_KILL_SECONDS):
        while alive := descendants():
            _signal(alive, signal.SIGKILL)
            await trio.sleep(_POLL_SECONDS)


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
