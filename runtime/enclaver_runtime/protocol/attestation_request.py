"""What the attestation API is asked for: a JSON object, Enclaver's, of texts that are all optional.

    {"nonce": base64, "user_data": base64, "public_key": PEM}

A key that is not one of these is refused: who misspells ``nonce`` would get a document that proves nothing fresh.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from enclaver_runtime.protocol import public_key, strict_base64
from enclaver_runtime.protocol.nsm_limits import MAX_NONCE, MAX_PUBLIC_KEY, MAX_USER_DATA

#: Far more than all three take with the JSON around them, every character of them escaped; bytes.
MAX_BODY = 16 * 1024

_LIMITS = {"nonce": MAX_NONCE, "user_data": MAX_USER_DATA, "public_key": MAX_PUBLIC_KEY}


class RequestError(ValueError):
    """A body that asks for no document; the text says which key is wrong, and how."""


@dataclass(frozen=True, slots=True)
class AttestationRequest:
    """What the document is to carry, as bytes; None: nothing."""

    nonce: bytes | None = None
    user_data: bytes | None = None
    public_key: bytes | None = None


def parse(body: bytes) -> AttestationRequest:
    """Read a request's body; an empty one asks for a document that carries nothing.

    Raises:
        RequestError: it is not JSON, has a wrong key or value, or one that is longer than the module takes.
    """
    if not body:
        return AttestationRequest()
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    except RequestError:
        raise
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise RequestError("the body must be a JSON object, or empty")
    for key in document:
        if key not in _LIMITS:
            raise RequestError(f"{key[:40]!a} is not a key of an attestation request; these are: {', '.join(_LIMITS)}")
    return AttestationRequest(**{key: _value(key, document.get(key), limit) for key, limit in _LIMITS.items()})


def _value(key: str, value: object, limit: int) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestError(f"{key} must be a text")
    try:
        data = public_key.der_of_pem(value) if key == "public_key" else strict_base64.decode(value)
    except ValueError as error:
        raise RequestError(f"{key} {error}") from error
    if len(data) > limit:
        raise RequestError(f"{key} is {len(data)} bytes long, the security module takes {limit}")
    return data


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise RequestError("a key of the body occurs twice")
    return fields
