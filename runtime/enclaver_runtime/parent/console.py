"""What a process writes for people: passed on if asked for, its last lines kept to explain a failure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

import trio
import trio.abc

from enclaver_runtime.parent.sink import Sink

_MAX_LINE = 400
_CHUNK = 65536
# Terminal sequences that firmware writes, and what else is not printable; kernels print tabs.
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[^\t\x20-\x7e]")
_PANIC = b"Kernel panic - not syncing"
_INIT = b" as init process"


class Console:
    """The output of a serial console or of a program.

    Args:
        echo: where everything goes as it comes, or None.
        keep: how many lines are kept.
        on_line: called with every whole line, without its end; a very long one is cut.
    """

    def __init__(
        self, *, echo: Sink | None = None, keep: int = 40, on_line: Callable[[bytes], object] = lambda _: None
    ) -> None:
        #: Set when a Linux kernel has said that it gave up.
        self.panicked = trio.Event()
        #: Set when a Linux kernel has said that it starts its first process: its own drivers are then up.
        self.init_started = trio.Event()
        self._echo = echo
        self._on_line = on_line
        self._lines: deque[bytes] = deque(maxlen=keep)
        self._rest = b""

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        """Take all of ``stream`` until it ends, then close it."""
        async with stream:
            while data := bytes(await stream.receive_some(_CHUNK)):
                self.feed(data)
                if self._echo is not None:
                    await self._echo(data)

    def feed(self, data: bytes) -> None:
        """Take some bytes, cut anywhere."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._keep(line)
        self._look(rest)
        # A line without an end must not grow without an end.
        self._rest = rest[-_MAX_LINE:]

    def tail(self) -> tuple[str, ...]:
        """The last lines, oldest first, printable; blank lines are left out."""
        lines = [*self._lines, self._rest]
        texts = (_ESCAPES.sub(b"", line)[:_MAX_LINE].decode("ascii").rstrip() for line in lines)
        return tuple(text for text in texts if text)

    def _keep(self, line: bytes) -> None:
        self._look(line)
        self._on_line(line[:_MAX_LINE].rstrip(b"\r"))
        if line.strip():
            self._lines.append(line[:_MAX_LINE])

    def _look(self, line: bytes) -> None:
        if _PANIC in line:
            self.panicked.set()
        if _INIT in line:
            self.init_started.set()
