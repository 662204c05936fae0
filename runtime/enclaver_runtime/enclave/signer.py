"""Signature Version 4, by botocore.

botocore takes its time to load, so it is loaded by the first signature, in the worker thread that makes it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import trio

from enclaver_runtime.enclave.credentials import Credentials

Headers = Sequence[tuple[bytes, bytes]]

_SERVICE = "kms"


async def sign(credentials: Credentials, *, region: str, url: str, headers: Headers, body: bytes) -> Headers:
    """The headers of a POST of ``body`` to KMS at ``url`` with its signature, and ``headers`` first.

    Host is not among them; it is signed as ``url`` has it.
    """
    return await trio.to_thread.run_sync(functools.partial(_sign, credentials, region, url, headers, body))


def _sign(credentials: Credentials, region: str, url: str, headers: Headers, body: bytes) -> Headers:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    request = AWSRequest(method="POST", url=url, data=body, headers=dict(texts))
    SigV4Auth(credentials, _SERVICE, region).add_auth(request)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
