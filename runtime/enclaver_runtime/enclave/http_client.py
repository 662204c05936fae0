"""HTTP/1.1 requests of the runtime's own: whole ones, with bounded responses, over a stream that may serve again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h11
import trio

from enclaver_runtime.protocol import connect

_RECEIVE = 64 * 1024

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request. Content-Length is added, Host is not; ``body`` None: the request has none."""

    method: str
    target: str
    headers: Headers
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A response, whole; ``headers`` have lower-case names."""

    status: int
    headers: Headers
    body: bytes


class HttpClientError(Exception):
    """There is no whole, valid response; the text says why."""


class HttpClient:
    """One connection to a server. The caller closes the stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=connect.MAX_HEAD)

    @property
    def is_reusable(self) -> bool:
        """Whether, after a request, another may follow."""
        return self._state.our_state is h11.DONE and self._state.their_state is h11.DONE

    async def exchange(self, request: Outgoing, *, max_body: int) -> Incoming:
        """Send a request and read its response, of at most ``max_body`` bytes.

        Raises:
            HttpClientError: the server has hung up, sent something else than HTTP, or too much.
        """
        if self._state.our_state is h11.DONE:
            self._state.start_next_cycle()
        try:
            await self._send(request)
            return await self._receive(max_body)
        except h11.RemoteProtocolError as error:
            raise HttpClientError(f"it sent no valid response: {error}") from error
        except trio.BrokenResourceError as error:
            raise HttpClientError("it has broken off the connection") from error

    async def _send(self, request: Outgoing) -> None:
        body = request.body
        length = [] if body is None else [(b"Content-Length", b"%d" % len(body))]
        head = h11.Request(method=request.method, target=request.target, headers=[*request.headers, *length])
        events: list[h11.Event] = [head, h11.EndOfMessage()]
        if body:
            events.insert(1, h11.Data(data=body))
        await self.stream.send_all(b"".join(self._state.send(event) or b"" for event in events))

    async def _receive(self, max_body: int) -> Incoming:
        head: h11.Response | None = None
        body = bytearray()
        while not isinstance(event := self._state.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                data = bytes(await self.stream.receive_some(_RECEIVE))
                if not data and head is None:
                    raise HttpClientError("it has hung up")
                self._state.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > max_body:
                    raise HttpClientError(f"its response is longer than {max_body} bytes")
        assert head is not None
        return Incoming(head.status_code, list(head.headers), bytes(body))
