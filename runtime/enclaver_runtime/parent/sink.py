"""Where bytes for people go: the app's log, a console."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import trio

#: Takes bytes, in order, one call at a time. What it raises ends the run and reaches the caller.
Sink = Callable[[bytes], Awaitable[None]]


def descriptor_sink(descriptor: int) -> Sink:
    """A sink that writes to an open file ``descriptor``, which stays the caller's.

    A reader that is slow, or stopped, holds up nothing but its own bytes: signals still end the run. So the
    write happens in a thread that a cancelled run abandons, and not through a Python file, whose lock such a
    thread would hold for ever.

    The sink raises OSError when the write fails (BrokenPipeError: the reader is gone).
    """

    async def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = await trio.to_thread.run_sync(os.write, descriptor, rest, abandon_on_cancel=True)
            except BlockingIOError:
                # Whoever else has the file open may have made it so that writes don't wait.
                await trio.lowlevel.wait_writable(descriptor)
            else:
                rest = rest[written:]

    return write
