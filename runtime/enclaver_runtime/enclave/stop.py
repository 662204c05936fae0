"""The wish that the app ends: whoever has it first says by which signal."""

from __future__ import annotations

import signal

import trio


class Stop:
    """Asked for at most once; later wishes change nothing."""

    def __init__(self) -> None:
        self._asked = trio.Event()
        self._signal = int(signal.SIGTERM)

    def ask(self, number: int = signal.SIGTERM) -> bool:
        """Ask for the app's end by signal ``number``; whether nobody had before."""
        if self._asked.is_set():
            return False
        self._signal = number
        self._asked.set()
        return True

    async def wait(self) -> int:
        """Wait until somebody asks; by which signal."""
        await self._asked.wait()
        return self._signal
