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
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.relay import visits
from enclaver_runtime.transport.relay.loop import Loop
from enclaver_runtime.transport.relay.relays import Relay
from enclaver_runtime.transport.relay.visits import Steps

# Targets whose decisions are remembered; none is longer than a plain head.
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
        # The same target is asked for over and over, and what the policy says of it does not change.
        self._frame = functools.lru_cache(_TARGETS)(self._permitted)
        self._link = link
        self._idle_timeout = idle_timeout
        self._hold = hold

    def visit(self, client: socket.socket) -> Steps[Relay | Begun | None]:
        """A client's first request; None when it has gone, or has sent nothing in time."""
        until = self._loop.time() + self._idle_timeout
        received = yield from visits.receive(client, MAX_PLAIN_HEAD, until)
        if not received:
            return None
        head = parse_plain_connect(received)
        frame = self._frame(head.target) if head else None
        if head is None or frame is None:
            return Begun(received, until)
        opened = yield from self._open(frame)
        if not isinstance(opened, socket.socket):
            return Begun(received, until, opened)
        hold = 0.0 if vsock.half_closes(opened) else self._hold
        return Relay(client, opened, to_left=ESTABLISHED, to_right=head.early, hold=hold)

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
