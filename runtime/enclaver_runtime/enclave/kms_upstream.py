"""HTTPS to KMS through egress: certificates checked with the image's own bundle, connections used again."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from enclaver_runtime.enclave.http_client import HttpClient, HttpClientError, Incoming, Outgoing
from enclaver_runtime.enclave.outbound import LateError
from enclaver_runtime.protocol import kms
from enclaver_runtime.protocol.kms import Endpoint
from enclaver_runtime.transport.connections import is_quiet

#: For a connection, the handshake and the answer; SDKs give up after 60.
PATIENCE_SECONDS = 50.0

#: An unused connection is kept so long: less than servers usually do, so that it is we who end it.
IDLE_SECONDS = 15.0

#: Unused connections that are kept for each endpoint.
MAX_IDLE = 8

Connect = Callable[[str, int], Awaitable[trio.SocketStream]]


class Upstream(Protocol):
    """What the proxy needs of KMS."""

    async def exchange(self, endpoint: Endpoint, request: Outgoing) -> Incoming:
        """Send a request and read its response.

        Raises:
            OutboundError: there is no connection; its subclasses say more.
            HttpClientError: there is no whole, valid response, or none from who KMS should be.
        """


@dataclass(slots=True)
class _Connection:
    client: HttpClient
    stream: trio.SocketStream
    idle_since: float = 0.0

    def is_fresh(self, now: float) -> bool:
        return now - self.idle_since < IDLE_SECONDS and is_quiet(self.stream)

    def close(self) -> None:
        self.stream.socket.close()


class KmsUpstream:
    """Connections to KMS's endpoints.

    A request goes out once: whether one that was broken off has had its effect, only the caller can judge.

    Args:
        connect: gives a stream to a host's port; raises OutboundError.
        context: verifies who answers there.
    """

    def __init__(self, connect: Connect, context: ssl.SSLContext, *, patience: float = PATIENCE_SECONDS) -> None:
        self._connect = connect
        self._context = context
        self._patience = patience
        self._idle: defaultdict[Endpoint, list[_Connection]] = defaultdict(list)

    async def exchange(self, endpoint: Endpoint, request: Outgoing) -> Incoming:
        """See :class:`Upstream`."""
        with trio.move_on_after(self._patience):
            connection = self._reuse(endpoint) or await self._open(endpoint)
            try:
                response = await connection.client.exchange(request, max_body=kms.MAX_BODY)
            except BaseException:
                connection.close()
                raise
            self._keep(endpoint, connection)
            return response
        raise LateError(f"{endpoint.authority} gave no answer within {self._patience:g} s")

    def close(self) -> None:
        """Close the connections that are not in use."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    def _reuse(self, endpoint: Endpoint) -> _Connection | None:
        # Asked for, not made: whoever calls many regions that nobody serves leaves nothing here.
        connections = self._idle.get(endpoint, [])
        while connections:
            # The last used one: its peer is the least likely to have given it up.
            connection = connections.pop()
            if connection.is_fresh(trio.current_time()):
                return connection
            connection.close()
        return None

    def _keep(self, endpoint: Endpoint, connection: _Connection) -> None:
        connections = self._idle[endpoint]
        if not connection.client.is_reusable or len(connections) >= MAX_IDLE:
            connection.close()
            return
        connection.idle_since = trio.current_time()
        connections.append(connection)

    async def _open(self, endpoint: Endpoint) -> _Connection:
        stream = await self._connect(endpoint.host, endpoint.port)
        secure = trio.SSLStream(stream, self._context, server_hostname=endpoint.host, https_compatible=True)
        try:
            await secure.do_handshake()
        except trio.BrokenResourceError as error:
            stream.socket.close()
            raise HttpClientError(f"no TLS with {endpoint.authority}: {_tls_reason(error.__cause__)}") from error
        except BaseException:
            stream.socket.close()
            raise
        return _Connection(HttpClient(secure), stream)


def _tls_reason(cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason
    return "it has hung up"
