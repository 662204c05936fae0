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
# A status may rightly be silent for days, and a connection that has died silently looks the same.
_SILENCE = 30.0


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

    ``on_status`` is called with every change of it, the final one too. A stream that ends before is opened again:
    the enclave repeats the status of the moment to each new reader. So is one that is silent, which may be dead: it is
    left for another as soon as that tells something.

    Raises:
        enclaver_runtime.protocol.status.StatusError: the enclave sent something else.
    """
    last: Status | None = None

    def note(status: Status) -> None:
        nonlocal last
        if status != last:
            last = status
            on_status(status)

    stream, data = await connect_patiently(connect, port), b""
    try:
        while True:
            found = await _follow(stream, data, connect, port, note)
            if isinstance(found, tuple):
                # The old one is closed last, so that the new one is closed whatever happens now.
                left, (stream, data) = stream, found
                await left.aclose()
            elif found is None:
                await stream.aclose()
                await trio.sleep(_PAUSE)
                stream, data = await connect_patiently(connect, port), b""
            else:
                return found
    finally:
        await trio.aclose_forcefully(stream)


_Opened = tuple[trio.abc.Stream, bytes]


async def _follow(
    stream: trio.abc.Stream, data: bytes, connect: Connect, port: int, note: Callable[[Status], None]
) -> Status | _Opened | None:
    """The final status on ``stream``, on which ``data`` has come; or another stream, when it has become silent; or
    None, when it has ended.
    """
    decoder = StatusDecoder()
    while True:
        for status in decoder.receive_data(data):
            note(status)
            if is_final(status):
                return status
        with trio.move_on_after(_SILENCE) as patience:
            data = await receive(stream)
        if patience.cancelled_caught:
            data = b""
            # Whether there is still an enclave at all, its machine tells.
            if (another := await _open_another(connect, port)) is not None:
                return another
        elif not data:
            return None


async def _open_another(connect: Connect, port: int) -> _Opened | None:
    """Another stream and what has come on it; only one on which something comes is better than a silent one."""
    try:
        stream = await connect(port, _LONGEST_ATTEMPT)
    except OSError:
        return None
    data = b""
    try:
        with trio.move_on_after(_LONGEST_ATTEMPT):
            data = await receive(stream)
    finally:
        if not data:
            await trio.aclose_forcefully(stream)
    return (stream, data) if data else None


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
