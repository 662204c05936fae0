"""The heartbeat, sent once: AWS's tools take the enclave as started when it arrives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.protocol import heartbeat as protocol

#: For each parent that is tried.
TIMEOUT_SECONDS = 1.0

Connect = Callable[[int, int], Awaitable[trio.abc.Stream]]


async def send(connect: Connect, *, timeout: float = TIMEOUT_SECONDS) -> str:
    """Try the parents in turn; returns one line for the console and never fails.

    Nobody may be listening: an emulator has no use for it, so the boot goes on without an answer.
    """
    problems = []
    for cid in protocol.PARENT_CIDS:
        try:
            with trio.fail_after(timeout):
                await _exchange(connect, cid)
            return f"heartbeat answered by CID {cid}"
        except trio.TooSlowError:
            problems.append(f"CID {cid}: no answer in {timeout:g} s")
        except (OSError, trio.BrokenResourceError, protocol.HeartbeatError) as error:
            problems.append(f"CID {cid}: {error}")
    return f"heartbeat not answered ({'; '.join(problems)})"


async def _exchange(connect: Connect, cid: int) -> None:
    async with await connect(cid, protocol.PORT) as stream:
        await stream.send_all(protocol.BEAT)
        protocol.check(bytes(await stream.receive_some(len(protocol.BEAT))))
