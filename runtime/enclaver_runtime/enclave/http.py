"""HTTP/1.1 over a stream: h11's events in and out, and one exchange between a client and an origin."""

from __future__ import annotations

from enum import Enum, auto
from typing import cast

import h11
import trio

from enclaver_runtime.protocol import connect, forward
from enclaver_runtime.protocol.connect import Refusal, Target

#: Seconds for which a client that has ended its output waits for an origin that says nothing. Nearly always it has
#: gone, and an origin that never answers would hold the connections of all who have given it up.
ABANDONED_SECONDS = 60.0

_RECEIVE = 64 * 1024

# A client that is still sending when it is hung up on would lose the response that says why (RFC 9112, 9.6).
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 4 * 1024 * 1024

_Event = h11.Request | h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage | h11.ConnectionClosed


class HttpStream:
    """A stream and h11's state of it.

    Failures of the stream are trio.BrokenResourceError, those of its peer's HTTP h11.RemoteProtocolError.

    Args:
        received: what has come already.
    """

    def __init__(
        self, stream: trio.SocketStream, role: type[h11.CLIENT] | type[h11.SERVER], *, received: bytes = b""
    ) -> None:
        self.stream = stream
        self.state = h11.Connection(role, max_incomplete_event_size=connect.MAX_HEAD)
        #: Whether the peer has sent anything in this cycle.
        self.heard = bool(received)
        if received:
            self.state.receive_data(received)

    @property
    def may_respond(self) -> bool:
        """Whether a server's response has not begun."""
        return self.state.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    @property
    def is_reusable(self) -> bool:
        """Whether request and response are complete, and another request may follow."""
        return self.state.our_state is h11.DONE and self.state.their_state is h11.DONE

    async def next_event(self) -> _Event:
        """The peer's next event. Never to be called when h11 is paused."""
        while (event := self.state.next_event()) is h11.NEED_DATA:
            await self.receive_more()
        return cast(_Event, event)

    async def receive_more(self) -> bool:
        """Give h11 what the peer sends next, or its end; whether it was something."""
        data = bytes(await self.stream.receive_some(_RECEIVE))
        self.heard = self.heard or bool(data)
        self.state.receive_data(data)
        return bool(data)

    def next_cycle(self) -> None:
        """Begin another request and response; both sides are done with the last."""
        self.state.start_next_cycle()
        self.heard = False

    def close(self) -> None:
        """Close the stream at once."""
        self.stream.socket.close()

    async def send(self, event: h11.Event) -> None:
        """Send ``event``."""
        if data := self.state.send(event):
            await self.stream.send_all(data)

    async def linger(self) -> None:
        """End the output, then ignore input for a while, so that the peer reads what it was sent."""
        await self.stream.send_eof()
        received = 0
        with trio.move_on_after(_LINGER_SECONDS):
            while received < _LINGER_BYTES and (data := await self.stream.receive_some(_RECEIVE)):
                received += len(data)


class End(Enum):
    """How an exchange ended, as far as the client's connection is concerned."""

    REUSE = auto()
    """The next request may come."""
    CLOSE = auto()
    """The response is complete, the request is not."""
    RESET = auto()
    """The response was begun and cannot be completed, or the client has gone."""
    SWITCH = auto()
    """Both sides speak another protocol from now on."""


class Exchange:
    """One request, whose head was read, to its origin; and the response back, as they come.

    Args:
        end: the request's end, where that was read as well.
        keep: whether the origin's connection is to outlast the exchange.
    """

    def __init__(
        self,
        client: HttpStream,
        origin: HttpStream,
        request: h11.Request,
        target: Target,
        host: str,
        *,
        end: h11.EndOfMessage | None = None,
        keep: bool = False,
    ) -> None:
        self._client = client
        self._origin = origin
        self._request = request
        self._head = forward.upstream_request(request, target, host, keep=keep)
        self._last = end
        self._response: h11.Response | None = None
        self._begun = False
        self._last_event = trio.current_time()
        self._end: End | Refusal = End.RESET

    async def run(self) -> End | Refusal:
        """Relay until the response is complete or a side has failed; a Refusal when none was begun.

        Closes nothing. Raises no failure of either side.
        """
        # Before anything is read: to h11, a response before its request is not even an error of the origin's.
        listening = await self._to_origin(self._head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_request, listening, nursery.cancel_scope)
            self._end = await self._relay_response()
            nursery.cancel_scope.cancel()
        if self._end is End.REUSE and not self._client.is_reusable:
            return End.CLOSE
        return self._end

    async def _send_request(self, listening: bool, scope: trio.CancelScope) -> None:
        try:
            last = self._last
            while last is None:
                event = await self._client.next_event()
                if isinstance(event, h11.EndOfMessage):
                    last = event
                else:
                    # An origin that no longer listens may still say why; the rest of the request is for nobody.
                    listening = listening and await self._to_origin(event)
            if listening:
                await self._to_origin(forward.message_end(last, self._request))
            # The next request waits its turn; that the client has gone away shows here.
            if not await self._client.receive_more():
                await self._silence()
                self._fail(End.RESET)
                scope.cancel()
        except h11.RemoteProtocolError as error:
            self._fail(Refusal(error.error_status_hint, str(error)))
            scope.cancel()
        except (h11.LocalProtocolError, trio.BrokenResourceError):
            self._fail(End.RESET)
            scope.cancel()

    async def _silence(self) -> None:
        """Wait until the origin has said nothing for too long."""
        while (left := self._last_event + ABANDONED_SECONDS - trio.current_time()) > 0:
            await trio.sleep(left)

    async def _to_origin(self, event: h11.Event) -> bool:
        try:
            await self._origin.send(event)
        except trio.BrokenResourceError:
            return False
        return True

    async def _relay_response(self) -> End | Refusal:
        while True:
            try:
                event = await self._origin.next_event()
                self._last_event = trio.current_time()
                if fault := forward.response_fault(event):
                    raise h11.RemoteProtocolError(fault)
            except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
                what = str(error) or "it hung up"
                return End.RESET if self._begun else Refusal(502, f"the origin sent no valid response: {what}")
            try:
                if (end := await self._to_client(event)) is not None:
                    return end
            except (h11.LocalProtocolError, trio.BrokenResourceError):
                # What a response says of itself may not be sayable to this client; that must not end PID 1.
                return End.RESET

    async def _to_client(self, event: _Event) -> End | None:
        """Pass an event of the origin's on; what it ended, if anything."""
        old_client = self._request.http_version < b"1.1"
        if isinstance(event, h11.InformationalResponse):
            if event.status_code == 101:
                self._begun = True
                await self._client.send(forward.client_information(event))
                return End.SWITCH
            # RFC 9110, 15.2: HTTP/1.0 has no such responses.
            if not old_client:
                await self._client.send(forward.client_information(event))
        elif isinstance(event, h11.Response):
            self._begun = True
            self._response = event
            await self._client.send(forward.client_response(event))
        elif isinstance(event, h11.EndOfMessage):
            assert self._response is not None
            await self._client.send(h11.EndOfMessage() if old_client else forward.message_end(event, self._response))
            return End.REUSE
        else:
            await self._client.send(event)
        return None

    def _fail(self, end: End | Refusal) -> None:
        self._end = End.RESET if self._begun else end
