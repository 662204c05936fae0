"""What the kernel's build says while it runs, made short: a line every hundred objects, the end of the log."""

from __future__ import annotations

import re
from collections import deque
from typing import Final

EVERY: Final = 100
_TAIL: Final = 30
_LINE_LIMIT: Final = 500
# Kbuild's short form: two spaces, what is done, the file it makes ("  CC      mm/slub.o").
_COMPILED: Final = re.compile(r"  (?:CC|AS) +\S+\.o\s*")
_LINKING: Final = re.compile(r"  LD +vmlinux\s*")
_TROUBLE: Final = re.compile(r"error:|fatal:|Error [0-9]|\*\*\*|not found|No space left")


class BuildLog:
    """Reads the build's output line by line; keeps only what a message needs, however long it runs."""

    def __init__(self) -> None:
        self.compiled = 0
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._trouble: deque[str] = deque(maxlen=_TAIL)

    def feed(self, line: str) -> str | None:
        """Take one line without its newline; return what to tell the user, if it is time to."""
        line = line[:_LINE_LIMIT]
        self._tail.append(line)
        if _TROUBLE.search(line):
            self._trouble.append(line)
        if _COMPILED.fullmatch(line):
            self.compiled += 1
            if self.compiled % EVERY == 0:
                return f"kernel: {self.compiled:,} objects compiled"
        elif _LINKING.fullmatch(line):
            return f"kernel: {self.compiled:,} objects compiled, linking"
        return None

    def excerpt(self) -> str:
        """Return the lines a reader needs when the build failed: those that name trouble, else the last."""
        return "\n".join(f"    {line}" for line in (self._trouble or self._tail))
