"""Connections that the runtime itself makes to the world: the way of the app's own, by the same policy."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import trio

from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.frames import Failed, Request
from enclaver_runtime.protocol.policy import Denied, Policy

#: Gives a stream to where the request says, or why there is none.
Open = Callable[[Request], Awaitable[trio.SocketStream | Failed]]


class OutboundError(Exception):
    """There is no connection; the text says to where, and why."""


class ForbiddenError(OutboundError):
    """The policy, or the parent's, does not allow it."""


class LateError(OutboundError):
    """Nobody has answered in time."""


class Outbound:
    """Connects where the policy lets the enclave connect.

    Args:
        policy: the enclave's.
        open_egress: connects through the parent.
        tell: gets a line for everything that the policy refuses.
    """

    def __init__(self, policy: Policy, open_egress: Open, tell: Callable[[str], None]) -> None:
        self._policy = policy
        self._open = open_egress
        self._tell = tell

    async def connect(self, host: str, port: int) -> trio.SocketStream:
        """Connect to ``port`` of a name or an address. The caller closes the stream.

        Raises:
            ForbiddenError, LateError, OutboundError: as they say.
        """
        place = f"{host} port {port}"
        decision = self._policy.decide(host, port)
        if isinstance(decision, Denied):
            self._tell(f"egress: blocked {place}: {decision.reason}")
            raise ForbiddenError(
                f"{place} is {frames.BLOCKED} ({decision.reason}); add {host} to egress.allow of the manifest"
            )
        answer = await self._open(Request(str(decision.host), port))
        if not isinstance(answer, Failed):
            return answer
        if answer.message.startswith(frames.BLOCKED):
            self._tell(f"egress: blocked {place} by the parent: {answer.message!a}")
            raise ForbiddenError(f"{place} is refused by the parent: {answer.message}")
        failure = LateError if answer.os_code == errno.ETIMEDOUT else OutboundError
        raise failure(f"{place} cannot be reached: {answer.message}")
