"""Pipes through which the kernel moves bytes from socket to socket (splice(2)) without a copy to this process.

A pipe is needed only while bytes are in it, so a few serve thousands of connections: they are taken for one move,
and kept by those alone whose other side takes no more for now. Whoever gets none copies.
"""

from __future__ import annotations

import fcntl
import os

#: What a pipe holds, in bytes; less where the machine does not allow so much (pipe(7), pipe-user-pages-soft).
PIPE_SIZE = 1024 * 1024

#: Pipes at once; so many megabytes, at most, wait for slow readers in them.
MAX_PIPES = 8


class Pipe:
    """A pipe of which both ends are here; ``held`` bytes are in it."""

    __slots__ = ("held", "input", "output")

    def __init__(self) -> None:
        self.output, self.input = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.held = 0
        try:
            fcntl.fcntl(self.input, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            # Then it is as large as the kernel makes all.
            return

    def close(self) -> None:
        """Close both ends; what is in it is lost."""
        os.close(self.input)
        os.close(self.output)


class Pipes:
    """A loop's pipes."""

    def __init__(self, *, most: int = MAX_PIPES) -> None:
        self._free: list[Pipe] = []
        self._left = most

    def take(self) -> Pipe | None:
        """An empty pipe, for the taker to give back; None when there are enough of them, or no files left."""
        if self._free:
            return self._free.pop()
        if not self._left:
            return None
        try:
            pipe = Pipe()
        except OSError:
            return None
        self._left -= 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Have others use ``pipe``; with bytes left in it, it is closed."""
        if pipe.held:
            pipe.close()
            self._left += 1
        else:
            self._free.append(pipe)

    def close(self) -> None:
        """Close those that nobody has taken."""
        while self._free:
            self._free.pop().close()
