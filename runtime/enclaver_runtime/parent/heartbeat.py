"""The parent's answer to the enclave's heartbeat, in the place of Nitro's own tools."""

from __future__ import annotations

import trio
import trio.abc

from enclaver_runtime.protocol.heartbeat import BEAT

# A guest that connects and then says nothing is not waited for any longer.
_PATIENCE = 10.0


async def answer(stream: trio.abc.Stream) -> bool:
    """Answer a connection's heartbeat and close it; whether there was one. A peer's faults raise nothing."""
    async with stream:
        with trio.move_on_after(_PATIENCE):
            try:
                if await stream.receive_some(1) == BEAT:
                    await stream.send_all(BEAT)
                    return True
            except trio.BrokenResourceError:
                return False
    return False
