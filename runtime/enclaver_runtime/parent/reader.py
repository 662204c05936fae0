"""Clients of the status port that every enclave of ours (and of Enclaver's) serves, and the way to any of its ports.

They are reached with patience: while the enclave boots nobody listens, and nobody says so. This works over any way to
the enclave, so the emulator and real Nitro share it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
import trio.abc

from enclaver_runtime.protocol import stop
from enclaver_runtime.protocol.status import Status, StatusDecoder, StatusError, is_final

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
        async with await connect_patiently(connect, port) as stream:
            if (status := await _final(stream, on_status)) is not None:
                return status
        await trio.sleep(_PAUSE)


async def ask_to_end(connect: Connect, port: int, number: int) -> None:
    """Ask, on the status ``port``, that the app ends by signal ``number``; returns when it has, or when the
    enclave hangs up.

    An enclave of Enclaver's own does not listen to it. One that sends something else than statuses is left alone:
    who follows its status says so.
    """
    async with await connect_patiently(connect, port) as stream:
        with suppress(trio.BrokenResourceError, StatusError):
            await stream.send_all(stop.format_request(number))
            await _final(stream, lambda _: None)


async def _final(stream: trio.abc.Stream, on_status: Callable[[Status], None]) -> Status | None:
    """The final status on ``stream``, or None when it ends before."""
    decoder = StatusDecoder()
    while data := await receive(stream):
        for status in decoder.receive_data(data):
            on_status(status)
            if is_final(status):
                return status
    return None


async def receive(stream: trio.abc.Stream) -> bytes:
    """Some bytes, or none when the stream ended, in whichever way."""
    try:
        return bytes(await stream.receive_some(_CHUNK))
    except trio.BrokenResourceError:
        return b""
