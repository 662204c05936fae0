"""The runtime's own words, on the kernel's console: ``enclaver: [1.532] app started``.

The seconds count from the kernel's start, so the lines tell where the time of a boot goes. On Nitro the
console is seen in debug mode only; in an emulator always.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress


class Console:
    """Writes lines; a console that is gone or broken never harms the boot.

    Args:
        fd: where to write to; the kernel opens the console as standard error of PID 1.
        clock: seconds since the kernel's start.
    """

    def __init__(self, fd: int = 2, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd = fd
        self._clock = clock

    def say(self, text: str) -> None:
        """Write ``text``; each of its lines gets the prefix, and what is not ASCII is escaped."""
        now = self._clock()
        lines = text.splitlines() or [""]
        data = "".join(f"enclaver: [{now:.3f}] {line}\n" for line in lines)
        with suppress(OSError):
            os.write(self._fd, data.encode("ascii", "backslashreplace"))
