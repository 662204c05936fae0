"""The attestation API on the enclave's loopback: ``POST /v1/attestation`` gives a document that proves what runs.

It is Enclaver's. The answer is the security module's document as it is, ``application/cbor``; refusals are one line
of plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import trio

from enclaver_runtime.enclave.http_server import HttpError, Limits, Request, Response, serve_http
from enclaver_runtime.enclave.security_module import NsmError, NsmUnavailableError, SecurityModule
from enclaver_runtime.protocol import attestation_request

PATH = b"/v1/attestation"

LIMITS = Limits(body=attestation_request.MAX_BODY)

# A client that takes this server for a proxy names it too (RFC 9112, 3.2.2).
_AUTHORITY = re.compile(rb"https?://[^/?]*", re.IGNORECASE)


async def serve_api(
    *,
    listeners: Sequence[trio.SocketListener],
    security_module: SecurityModule,
    limits: Limits = LIMITS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API until cancelled; started when clients can connect. Closes ``listeners`` and every stream."""

    async def attest(request: Request) -> Response:
        if _path(request.target) != PATH:
            raise HttpError(404, f"there is nothing here but {PATH.decode()}")
        if request.method != b"POST":
            raise HttpError(405, f"{PATH.decode()} takes POST", headers=[(b"Allow", b"POST")])
        try:
            wanted = attestation_request.parse(await request.read())
            document = await security_module.attest(
                user_data=wanted.user_data, nonce=wanted.nonce, public_key=wanted.public_key
            )
        except attestation_request.RequestError as error:
            raise HttpError(400, str(error)) from error
        except NsmUnavailableError as error:
            raise HttpError(503, str(error)) from error
        except NsmError as error:
            raise HttpError(502, str(error)) from error
        return Response(200, [(b"Content-Type", b"application/cbor")], document)

    await serve_http(listeners=listeners, handler=attest, limits=limits, task_status=task_status)


def _path(target: bytes) -> bytes:
    if found := _AUTHORITY.match(target):
        target = target[found.end() :]
    return target.partition(b"?")[0]
