"""The first of several connections to come about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

Attempt = Callable[[], Awaitable[trio.SocketStream]]


async def race(attempts: Sequence[Attempt], *, stagger: float = 0.0) -> tuple[int, trio.SocketStream]:
    """Make ``attempts`` (at least one), each ``stagger`` seconds after the one before, or once that has failed.

    Returns the index of the first to succeed and its stream, which the caller closes; the others are given
    up, and closed.

    Raises:
        OSError: all have failed; the first one's.
    """
    winners: list[tuple[int, trio.SocketStream]] = []
    problems: dict[int, OSError] = {}

    async def run(index: int, failed: trio.Event, scope: trio.CancelScope) -> None:
        try:
            stream = await attempts[index]()
        except OSError as problem:
            problems[index] = problem
            failed.set()
            return
        if winners:
            await trio.aclose_forcefully(stream)
        else:
            winners.append((index, stream))
            scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for index in range(len(attempts)):
                failed = trio.Event()
                nursery.start_soon(run, index, failed, nursery.cancel_scope)
                with trio.move_on_after(stagger):
                    await failed.wait()
    except BaseException:
        # The caller was cancelled while the others were being given up.
        for _, stream in winners:
            stream.socket.close()
        raise
    if winners:
        return winners[0]
    raise problems[0]
