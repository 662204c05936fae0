"""Lines for a console that may come faster than it writes: so many a period, the rest are counted."""

from __future__ import annotations

from collections.abc import Callable


class Throttle:
    """Lets ``limit`` lines through in each ``period`` of seconds; time is given, never read."""

    def __init__(self, *, limit: int = 20, period: float = 10.0) -> None:
        self._limit = limit
        self._period = period
        self._start = float("-inf")
        self._used = 0
        self._dropped = 0

    def admit(self, line: str, now: float) -> list[str]:
        """What to write of ``line`` at ``now``: nothing, or it, after a line about those that were not written."""
        lines: list[str] = []
        if now - self._start >= self._period:
            if self._dropped:
                lines.append(f"({self._dropped} more lines like these were left out)")
            self._start, self._used, self._dropped = now, 0, 0
        if self._used < self._limit:
            self._used += 1
            lines.append(line)
        else:
            self._dropped += 1
        return lines


def throttled(tell: Callable[[str], None], clock: Callable[[], float]) -> Callable[[str], None]:
    """``tell``, with so many lines a period by ``clock``."""
    throttle = Throttle()

    def tell_some(line: str) -> None:
        for admitted in throttle.admit(line, clock()):
            tell(admitted)

    return tell_some
