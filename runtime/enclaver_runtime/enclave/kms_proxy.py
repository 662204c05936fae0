"""The KMS proxy on the enclave's loopback: KMS as it is, with the enclave's attestation where KMS asks for one.

Every call is signed again, with credentials of the runtime's own, and goes to KMS over TLS through egress. Calls
that give out secrets carry an attestation document with the enclave's public key; their answers are opened here, so
the app's SDK sees what it would see without an enclave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import trio

from enclaver_runtime.enclave import signer
from enclaver_runtime.enclave.credentials import CredentialsError, CredentialsSource
from enclaver_runtime.enclave.http_client import HttpClientError, Incoming, Outgoing
from enclaver_runtime.enclave.http_server import HttpError, Limits, Request, Response, serve_http
from enclaver_runtime.enclave.kms_key import OpenError
from enclaver_runtime.enclave.kms_upstream import Upstream
from enclaver_runtime.enclave.outbound import ForbiddenError, LateError, OutboundError
from enclaver_runtime.enclave.security_module import NsmError, NsmUnavailableError, SecurityModule
from enclaver_runtime.protocol import kms
from enclaver_runtime.protocol.cms import CmsError
from enclaver_runtime.protocol.kms import AnswerError, Call, CallError

LIMITS = Limits(body=kms.MAX_BODY)


class Key(Protocol):
    """The enclave's key pair; kms_key.KmsKey is the real one."""

    async def public_key(self) -> bytes:
        """The public half, DER."""

    async def open(self, data: bytes) -> bytes:
        """The secret in a CMS message; raises CmsError or OpenError."""


class KmsProxy:
    """Answers calls.

    Args:
        endpoints: hosts (perhaps with a port) by region, where it is not AWS's own.
        credentials: to sign with.
        upstream: sends a request to an endpoint.
        key: opens what KMS encrypts for this enclave.
        security_module: gives attestation documents.
        tell: gets a line for every call that the proxy itself has to refuse.
    """

    def __init__(
        self,
        *,
        endpoints: Mapping[str, str],
        credentials: CredentialsSource,
        upstream: Upstream,
        key: Key,
        security_module: SecurityModule,
        tell: Callable[[str], None],
    ) -> None:
        self._endpoints = endpoints
        self._credentials = credentials
        self._upstream = upstream
        self._key = key
        self._security_module = security_module
        self._tell = tell

    async def answer(self, request: Request) -> Response:
        """Answer one request; whatever fails is told as KMS tells its errors."""
        try:
            call = kms.parse_call(request.method, request.target, request.headers)
            body = await request.read()
        except CallError as error:
            return self._refuse("a request", error)
        except HttpError as error:
            return self._refuse("a request", CallError(error.status, "KmsProxyRequestError", str(error)))
        try:
            return await self._serve(call, request, body)
        except CallError as error:
            return self._refuse(f"{call.action} in {call.region}", error)

    async def _serve(self, call: Call, request: Request, body: bytes) -> Response:
        members = kms.parse_request(body) if call.action in kms.SECRETS else None
        if members is None:
            # Nothing to attest; or the caller has its own key, and opens the answer itself.
            return _returned(await self._send(call, request, body))
        answer = await self._send(call, request, kms.with_recipient(members, await self._attest()))
        if answer.status != 200:
            return _returned(answer)
        try:
            sealed = kms.parse_sealed(answer.body)
            opened = kms.opened(call.action, sealed, await self._key.open(sealed.ciphertext))
        except (AnswerError, CmsError, OpenError) as error:
            raise CallError(502, "KmsProxyAnswerError", f"KMS: {error}") from error
        return _returned(answer, opened)

    async def _attest(self) -> bytes:
        try:
            # A new one for each call: KMS takes none that is older than five minutes.
            return await self._security_module.attest(public_key=await self._key.public_key())
        except NsmUnavailableError as error:
            raise CallError(503, "KmsProxyAttestationError", str(error)) from error
        except NsmError as error:
            raise CallError(502, "KmsProxyAttestationError", str(error)) from error

    async def _send(self, call: Call, request: Request, body: bytes) -> Incoming:
        """Sign a call with the runtime's credentials, and send it to KMS."""
        try:
            credentials = await self._credentials.get()
        except CredentialsError as error:
            raise CallError(503, "KmsProxyCredentialsError", str(error)) from error
        endpoint = kms.endpoint(call.region, self._endpoints)
        headers = await signer.sign(
            credentials,
            region=call.region,
            url=f"https://{endpoint.authority}/",
            headers=kms.forwarded_headers(request.headers),
            body=body,
        )
        outgoing = Outgoing("POST", "/", [(b"Host", endpoint.authority.encode("ascii")), *headers], body)
        try:
            return await self._upstream.exchange(endpoint, outgoing)
        except ForbiddenError as error:
            raise CallError(403, "KmsProxyPolicyError", f"KMS: {error}") from error
        except LateError as error:
            raise CallError(504, "KmsProxyConnectionError", f"KMS: {error}") from error
        except OutboundError as error:
            raise CallError(503, "KmsProxyConnectionError", f"KMS: {error}") from error
        except HttpClientError as error:
            raise CallError(502, "KmsProxyConnectionError", f"KMS at {endpoint.authority}: {error}") from error

    def _refuse(self, what: str, error: CallError) -> Response:
        self._tell(f"kms_proxy: {what}: {error.status} {str(error)!a}")
        return Response(error.status, [(b"Content-Type", kms.CONTENT_TYPE)], kms.error_body(error))


async def serve_kms_proxy(
    proxy: KmsProxy,
    *,
    listeners: Sequence[trio.SocketListener],
    limits: Limits = LIMITS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``proxy`` until cancelled; started when clients can connect. Closes ``listeners`` and every stream."""
    await serve_http(listeners=listeners, handler=proxy.answer, limits=limits, task_status=task_status)


def _returned(answer: Incoming, body: bytes | None = None) -> Response:
    return Response(answer.status, kms.returned_headers(answer.headers), answer.body if body is None else body)
