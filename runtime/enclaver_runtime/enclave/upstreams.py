"""Connections to origins that are kept for the next request to the same place.

What is sent on a kept connection may meet an origin that has just hung up, so that nobody knows whether it was read.
Only what may be sent twice is sent there (RFC 9112, 9.3.1 and 9.3.2): GET and HEAD, without a body. Everything else
has a connection of its own, as do upgrades, and what an origin might bind to the connection instead of the request.

A connection is kept when both the request and its response are complete, neither side has said that it closes, and
not a byte has come behind the response. The policy knows nothing of this: it decides each request by itself.
"""

from __future__ import annotations

from collections import OrderedDict

import h11
import trio

from enclaver_runtime.enclave.http import HttpStream
from enclaver_runtime.protocol import forward
from enclaver_runtime.transport.connections import is_quiet

#: Connections kept at once; the longest idle makes room.
MOST = 64

#: How long one is kept, in seconds; less than after what most servers hang up.
IDLE_SECONDS = 15.0

# Schemes that make an identity of the connection (RFC 4559).
_BOUND = (b"negotiate", b"ntlm")


def is_repeatable(request: h11.Request) -> bool:
    """Whether a request may go where nobody knows if it arrives, and so once more."""
    fields = dict(request.headers)
    return (
        request.method in (b"GET", b"HEAD")
        and b"transfer-encoding" not in fields
        and fields.get(b"content-length", b"0") == b"0"
        and b"expect" not in fields
        and not fields.get(b"authorization", b"").lower().startswith(_BOUND)
        and not forward.is_websocket(request)
    )


class Upstreams:
    """The kept connections, by canonical host and port."""

    def __init__(self, *, most: int = MOST, idle: float = IDLE_SECONDS) -> None:
        self._most = most
        self._idle = idle
        # The longest idle first, each with where it leads to and since when it has been kept.
        self._kept: OrderedDict[HttpStream, tuple[tuple[str, int], float]] = OrderedDict()

    def take(self, host: str, port: int) -> HttpStream | None:
        """The connection to ``port`` of ``host`` that was kept last, for one more request; None without one.

        The caller closes it, or gives it back.
        """
        for upstream in [one for one, (place, _) in reversed(self._kept.items()) if place == (host, port)]:
            del self._kept[upstream]
            if is_quiet(upstream.stream):
                upstream.next_cycle()
                return upstream
            upstream.close()
        return None

    def give_back(self, host: str, port: int, upstream: HttpStream) -> bool:
        """Keep a connection, if it is fit for it; else it is the caller's still."""
        if not upstream.is_reusable or upstream.state.trailing_data != (b"", False):
            return False
        self._kept[upstream] = (host, port), trio.current_time()
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)[0].close()
        return True

    async def serve(self) -> None:
        """Close what has been kept for too long, until cancelled; then all of it."""
        try:
            while True:
                await trio.sleep(self._idle / 4)
                oldest = trio.current_time() - self._idle
                while self._kept and next(iter(self._kept.values()))[1] <= oldest:
                    self._kept.popitem(last=False)[0].close()
        finally:
            while self._kept:
                self._kept.popitem()[0].close()
