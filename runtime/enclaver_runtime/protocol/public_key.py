"""Public keys as PEM texts (RFC 7468) and as what an attestation document carries: SubjectPublicKeyInfo in DER.

Only the form is checked (RFC 5280, 4.1: an algorithm and a bit string, nothing else), not whether the numbers are
a key: what algorithms there are is the business of whoever reads the document.
"""

from __future__ import annotations

import re

from enclaver_runtime.protocol import strict_base64

_BLOCK = re.compile(r"\s*-----BEGIN ([^\r\n-]*)-----\s(.*)-----END ([^\r\n-]*)-----\s*", re.DOTALL)
_LABEL = "PUBLIC KEY"

# DER's tags: what is constructed has bit 6 set.
_SEQUENCE, _OBJECT_IDENTIFIER, _BIT_STRING = 0x30, 0x06, 0x03


class PublicKeyError(ValueError):
    """A text that is no public key; says why, and quotes nothing of it."""


def der_of_pem(text: str) -> bytes:
    """The DER of the one public key in a PEM text.

    Raises:
        PublicKeyError: it is no PEM, or the PEM of something else.
    """
    block = _BLOCK.fullmatch(text)
    if block is None:
        raise PublicKeyError("is no PEM: it does not go from a line -----BEGIN PUBLIC KEY----- to its END")
    label, body, end = block.groups()
    if label != _LABEL or end != _LABEL:
        # The label is the client's own; a known one says what to do, others say nothing.
        found = f"of a {label}" if re.fullmatch(r"[A-Z0-9 ]{1,40}", label) else "of something else"
        raise PublicKeyError(f"is the PEM {found}: a PUBLIC KEY (SubjectPublicKeyInfo) is wanted")
    try:
        der = strict_base64.decode("".join(body.split()))
    except ValueError as error:
        raise PublicKeyError(f"is no PEM: what it holds {error}") from error
    if not _is_public_key_info(der):
        raise PublicKeyError("holds no SubjectPublicKeyInfo in DER")
    return der


def _is_public_key_info(der: bytes) -> bool:
    try:
        info, rest = _element(der, _SEQUENCE)
        algorithm, key = _element(info, _SEQUENCE)
        _element(algorithm, _OBJECT_IDENTIFIER)
        bits, more = _element(key, _BIT_STRING)
    except ValueError:
        return False
    # A key is whole bytes, so no bit of the last one is unused.
    return not rest and not more and len(bits) > 1 and bits[0] == 0


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it. Raises ValueError when it is not DER of that tag."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("another tag")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
        # The shortest form is the only one; so is a length that is known at all.
        if start == 2 or length < 0x80 or data[2] == 0:
            raise ValueError("not the one form of a length")
    end = start + length
    if len(data) < end:
        raise ValueError("cut off")
    return data[start:end], data[end:]
