"""Clients of the two ports that every enclave of ours (and of Enclaver's) serves: the app's status and log.

Both are reached with patience: while the enclave boots nobody listens, and nobody says so. They work over any
way to the enclave, so the emulator and real Nitro share them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.abc

from enclaver_runtime.parent.sink import Sink
from enclaver_runtime.protocol.status import Status, StatusDecoder, is_final

#: Makes one attempt to connect to a port of the enclave within so many seconds, or raises OSError.
Connect = Callable[[int, float], Awaitable[trio.abc.Stream]]

_CHUNK = 65536
_PAUSE = 0.02
# An attempt waits for a share of the time the enclave has taken so far: an enclave that is slow to boot is
# slow to answer too, and one that boots fast is not kept waiting by an attempt that was made too early.
_FIRST_ATTEMPT = 0.2
_SHARE = 0.15
_LONGEST_ATTEMPT = 5.0


async def connect_patiently(connect: Connect, port: int) -> trio.abc.Stream:
    """Try until the enclave's ``port`` is reached. Only cancellation ends it otherwise."""
    start = trio.current_time()
    while True:
        patience = max(_FIRST_ATTEMPT, _SHARE * (trio.current_time() - start))
        try:
            return await connect(port, min(patience, _LONGEST_ATTEMPT))
        except OSError:
            await trio.sleep(_PAUSE)


async def read_status(connect: Connect, port: int, *, on_status: Callable[[Status], None]) -> Status:
    """Follow the app's status on ``port`` to its final one, which is returned.

    ``on_status`` is called with every status, the final one too. A stream that ends before is opened again:
    the enclave repeats the status of the moment to each new reader.

    Raises:
        enclaver_runtime.protocol.status.StatusError: the enclave sent something else.
    """
    while True:
        stream = await connect_patiently(connect, port)
        decoder = StatusDecoder()
        async with stream:
            while data := await _receive(stream):
                for status in decoder.receive_data(data):
                    on_status(status)
                    if is_final(status):
                        return status
        await trio.sleep(_PAUSE)


async def copy_log(connect: Connect, port: int, sink: Sink, *, on_data: Callable[[], None]) -> None:
    """Copy the app's log on ``port`` to ``sink`` until the enclave closes it.

    ``on_data`` is called after each piece. The log is opened once: a second reader would get the lines in the
    enclave's ring again. What ``sink`` raises propagates.
    """
    stream = await connect_patiently(connect, port)
    async with stream:
        on_data()
        while data := await _receive(stream):
            await sink(data)
            on_data()


async def _receive(stream: trio.abc.Stream) -> bytes:
    """Some bytes, or none when the stream ended, in whichever way."""
    try:
        return bytes(await stream.receive_some(_CHUNK))
    except trio.BrokenResourceError:
        return b""
