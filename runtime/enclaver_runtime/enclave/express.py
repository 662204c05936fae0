"""The short way of a tunnel: what most clients send, to where it may go, without any task.

Whatever is not that (another request, a refusal, a parent that cannot connect) is left to :mod:`egress`, with all
that is known of it by then: nothing is answered here but that there is a tunnel.
"""

from __future__ import annotations

import functools
import socket
from dataclasses import dataclass

from enclaver_runtime.enclave.parent_link import DIAL_SECONDS, ParentLink, ask, no_answer, unreachable
from enclaver_runtime.protocol import connect, frames
from enclaver_runtime.protocol.connect import Refusal
from enclaver_runtime.protocol.frames import Connected, Failed, Request
from enclaver_runtime.protocol.plain_connect import MAX_PLAIN_HEAD, parse_plain_connect
from enclaver_runtime.protocol.policy import Denied, Policy
from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import Loop
from enclaver_runtime.transport.relay.relays import Relay
from enclaver_runtime.transport.relay.visits import Steps

# Targets whose decisions are remembered, and heads that ask for them; no head is longer than a plain one.
_TARGETS = 256

#: The answer to a request for a tunnel.
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Begun:
    """A client's connection as the short way has left it.

    ``received`` is what it has sent, ``until`` when its first request's head must have come by trio's clock, and
    ``failure`` what the parent has said to it.
    """

    received: bytes
    until: float
    failure: Failed | None = None


class Express:
    """The short way's visits.

    Args:
        loop: what they run on.
        idle_timeout, hold: as for :func:`enclaver_runtime.enclave.egress.serve_proxy` and its relays.
    """

    def __init__(self, loop: Loop, *, policy: Policy, link: ParentLink, idle_timeout: float, hold: float) -> None:
        self._loop = loop
        self._policy = policy
        # The same target is asked for over and over, and what the policy says of it does not change; nor does, from
        # one client, the head.
        self._permit = functools.lru_cache(_TARGETS)(self._permitted)
        self._known: dict[bytes, bytes] = {}
        self._link = link
        self._idle_timeout = idle_timeout
        self._hold = hold

    def visit(self, client: socket.socket) -> Steps[Relay | Begun | None]:
        """A client's first request; None when it has gone, or has sent nothing in time."""
        until = self._loop.time() + self._idle_timeout
        received = yield from visits.receive(client, MAX_PLAIN_HEAD, until)
        if not received:
            return None
        frame, early = self._known.get(received), b""
        if frame is None:
            frame, early = self._asked(received)
        if frame is None:
            return Begun(received, until)
        opened = yield from self._open(frame)
        if not isinstance(opened, socket.socket):
            return Begun(received, until, opened)
        hold = 0.0 if self._link.half_closes else self._hold
        return Relay(client, opened, ESTABLISHED, early, hold)

    def _asked(self, received: bytes) -> tuple[bytes | None, bytes]:
        """The frame that asks the parent for what a plain head asks for, and what came early; None without a frame."""
        head = parse_plain_connect(received)
        frame = self._permit(head.target) if head else None
        if head is None or frame is None:
            return None, b""
        if not head.early:
            # Only what is known to the last byte, so no secret.
            if len(self._known) >= _TARGETS:
                self._known.clear()
            self._known[received] = frame
        return frame, head.early

    def _permitted(self, target: bytes) -> bytes | None:
        """The frame that asks the parent for ``target``; None when it is to be refused."""
        found = connect.parse_target(b"CONNECT", target)
        if isinstance(found, Refusal):
            return None
        decision = self._policy.decide(found.host, found.port)
        if isinstance(decision, Denied):
            return None
        return frames.format_request(Request(str(decision.host), found.port))

    def _open(self, frame: bytes) -> Steps[socket.socket | Failed | None]:
        try:
            parent = self._link.begin(frames.PORT)
            if parent is None:
                return None
            yield from visits.connected(self._loop, parent, self._loop.time() + DIAL_SECONDS)
        except visits.ExpiredError:
            return unreachable(no_answer(frames.PORT))
        except OSError as error:
            return unreachable(error)
        try:
            answer = yield from ask(parent, frame, self._loop.time())
        except BaseException:
            self._loop.release(parent)
            raise
        if isinstance(answer, Connected):
            return parent
        self._loop.release(parent)
        return answer
