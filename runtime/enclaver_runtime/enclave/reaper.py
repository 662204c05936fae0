"""PID 1's duty to its children: every process that ends is waited for, whoever started it.

One loop waits for all children, so nobody else in this process may wait for any (no ``subprocess``, no
``trio.run_process``). Whoever forks calls :meth:`Reaper.expect` before the next checkpoint: the loop runs in
the same thread, so the child cannot be reaped unnoticed in between.
"""

from __future__ import annotations

import os
import signal

import trio


class Child:
    """A child whose end somebody wants to know."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = trio.Event()
        self._status = 0

    @property
    def ended(self) -> bool:
        """Whether it has ended and was reaped; its pid may be another process's then."""
        return self._ended.is_set()

    async def wait(self) -> int:
        """Wait for its end; returns the wait status, as os.WIFEXITED and its kin take it."""
        await self._ended.wait()
        return self._status

    def kill(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.ended:
            os.kill(self.pid, number)

    def _end(self, status: int) -> None:
        self._status = status
        self._ended.set()


class Reaper:
    """Waits for all children of this process."""

    def __init__(self) -> None:
        self._expected: dict[int, Child] = {}

    def expect(self, pid: int) -> Child:
        """Follow the child ``pid``, which was forked just now, without a checkpoint since."""
        child = self._expected[pid] = Child(pid)
        return child

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reap until cancelled; started when no end can be missed any more."""
        with trio.open_signal_receiver(signal.SIGCHLD) as deaths:
            task_status.started()
            self._reap()
            async for _ in deaths:
                self._reap()

    def _reap(self) -> None:
        # Signals that arrive together are delivered once, so each delivery stands for any number of ends.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._expected.pop(pid, None)
            if child is not None:
                child._end(status)
