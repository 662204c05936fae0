"""HTTP/1.1 for the services on the enclave's loopback: whole requests with bounded bodies, answered one by one.

A handler gets a :class:`Request` whose head has come, and returns a :class:`Response` or raises an
:class:`HttpError`. Keep-alive, pipelining, HEAD, Expect, limits and slow clients are this module's affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import h11
import trio

from enclaver_runtime.enclave.http import HttpStream
from enclaver_runtime.protocol.connect import MAX_HEAD
from enclaver_runtime.transport import server
from enclaver_runtime.transport.pump import reset

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may ask of the server.

    Args:
        body: bytes of a request's body; a longer one is refused with 413. A head has 64 KiB, and 431.
        head_seconds: for the next request's head to have come, idle time and all.
        body_seconds: for a body to have come, or 408.
        send_seconds: for the client to take a response.
        connections: at once; more are closed as they come.
    """

    body: int
    head_seconds: float = 60.0
    body_seconds: float = 30.0
    send_seconds: float = 30.0
    connections: int = 256


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Content-Length, Transfer-Encoding and Connection are the server's and not in ``headers``."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class HttpError(Exception):
    """A request that is answered with ``status`` and one line of text, and ``headers`` if there are."""

    def __init__(self, status: int, text: str, *, headers: Headers = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = tuple(headers)


class Request:
    """A request whose head has come; ``headers`` have lower-case names, in the client's order."""

    def __init__(self, client: HttpStream, head: h11.Request, limits: Limits) -> None:
        self.method = head.method
        self.target = head.target
        self.headers: list[tuple[bytes, bytes]] = list(head.headers)
        self._client = client
        self._limits = limits
        self._body: bytes | None = None
        self._failure: HttpError | None = None

    async def read(self) -> bytes:
        """The whole body. A client that expects ``100 Continue`` is told so only here.

        Raises:
            HttpError: it is too long (413), does not come in time (408) or is malformed (400).
            trio.BrokenResourceError: the client has gone.
        """
        # What has failed once stays failed: a slow client is not waited for twice.
        if self._failure is not None:
            raise self._failure
        if self._body is None:
            try:
                self._body = await self._receive_in_time()
            except HttpError as error:
                self._failure = error
                raise
        return self._body

    async def skip(self) -> None:
        """Read the body to its end, if the client is sending one, so that another request may follow."""
        if self._body is None and not self._client.state.they_are_waiting_for_100_continue:
            await self.read()

    async def _receive_in_time(self) -> bytes:
        with trio.move_on_after(self._limits.body_seconds):
            return await self._receive()
        raise HttpError(408, f"the request's body did not come within {self._limits.body_seconds:g} s")

    async def _receive(self) -> bytes:
        too_long = HttpError(413, f"the request's body is longer than {self._limits.body} bytes")
        # h11 has seen to it that this is a number, and one only.
        if any(name == b"content-length" and int(value) > self._limits.body for name, value in self.headers):
            raise too_long
        body = bytearray()
        try:
            if self._client.state.they_are_waiting_for_100_continue:
                await self._client.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            while isinstance(event := await self._client.next_event(), h11.Data):
                body += event.data
                if len(body) > self._limits.body:
                    raise too_long
        except h11.RemoteProtocolError as error:
            raise HttpError(error.error_status_hint, str(error)) from error
        return bytes(body)


#: Answers a request; what it raises but HttpError and the failures of connections ends the service.
Handler = Callable[[Request], Awaitable[Response]]


async def serve_http(
    *,
    listeners: Sequence[trio.SocketListener],
    handler: Handler,
    limits: Limits,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``handler`` until cancelled; started when clients can connect.

    Closes ``listeners`` and every stream. Failures of clients end one connection only.
    """

    async def serve_client(stream: trio.SocketStream) -> None:
        client = HttpStream(stream, h11.SERVER)
        while await _serve_request(client, handler, limits):
            client.state.start_next_cycle()

    await server.serve(serve_client, listeners, max_connections=limits.connections, task_status=task_status)


def plain_text(status: int, text: str, headers: Headers = ()) -> Response:
    """A response of one line of text."""
    # Some of the text may be the client's own; escaped, it is one line and no markup.
    line = "".join(character if " " <= character <= "~" else ascii(character)[1:-1] for character in text)
    kind = [(b"Content-Type", b"text/plain; charset=us-ascii"), (b"X-Content-Type-Options", b"nosniff")]
    return Response(status, [*kind, *headers], line.encode("ascii") + b"\n")


async def _serve_request(client: HttpStream, handler: Handler, limits: Limits) -> bool:
    """Serve the next request; whether another may follow."""
    try:
        with trio.move_on_after(limits.head_seconds) as patience:
            head = await client.next_event()
    except h11.RemoteProtocolError as error:
        # A status hint is h11's word for what is wrong: 400, 431 or 501.
        status = error.error_status_hint
        text = f"the request's head is longer than {MAX_HEAD} bytes" if status == 431 else str(error)
        return await _respond(client, plain_text(status, text), limits)
    if patience.cancelled_caught:
        if not client.state.trailing_data[0]:
            return False
        late = f"the request's head did not come within {limits.head_seconds:g} s"
        return await _respond(client, plain_text(408, late), limits)
    if not isinstance(head, h11.Request):
        return False
    if head.method == b"CONNECT":
        # Its success would hand the connection over to another protocol (RFC 9110, 9.3.6), which no service here has.
        return await _respond(client, plain_text(501, "this is no proxy"), limits)
    request = Request(client, head, limits)
    try:
        response = await handler(request)
    except HttpError as error:
        response = plain_text(error.status, str(error), error.headers)
    # What is wrong with a body that the handler did without only makes this response the connection's last.
    with suppress(HttpError):
        await request.skip()
    return await _respond(client, response, limits, head_only=head.method == b"HEAD")


async def _respond(client: HttpStream, response: Response, limits: Limits, *, head_only: bool = False) -> bool:
    """Send a response; whether another request may follow."""
    length = (b"Content-Length", b"%d" % len(response.body))
    last = [] if client.state.their_state is h11.DONE else [(b"Connection", b"close")]
    head = h11.Response(
        status_code=response.status, headers=[*response.headers, length, *last], reason=_phrase(response.status)
    )
    events: list[h11.Event] = [head, h11.EndOfMessage()]
    if not head_only:
        events.insert(1, h11.Data(data=response.body))
    with trio.move_on_after(limits.send_seconds) as patience:
        await client.stream.send_all(b"".join(client.state.send(event) or b"" for event in events))
    if patience.cancelled_caught:
        reset(client.stream)
        return False
    if client.is_reusable:
        return True
    await client.linger()
    return False


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
