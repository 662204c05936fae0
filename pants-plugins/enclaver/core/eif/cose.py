"""What COSE says of an ECDSA signature: its algorithms, the bytes that are signed, and how r and s are written.

Sources: RFC 9052, 4.4 (Sig_structure), and RFC 9053, 2.1 (ECDSA). COSE leaves it open which curve goes with which
algorithm; AWS's tools sign and verify with the one of the hash's strength only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

#: The header label of the algorithm.
ALGORITHM_LABEL: Final = 1


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A COSE algorithm.

    Args:
        name: ``ES256``, ``ES384`` or ``ES512``.
        identifier: its number in COSE's registry.
        digest: the hash of what is signed.
        curve: the curve that AWS's tools use it with, by its name in SEC 2.
        half: the size of r and of s on that curve, in bytes.
    """

    name: str
    identifier: int
    digest: hashes.HashAlgorithm
    curve: str
    half: int


ALGORITHMS: Final = (
    Algorithm("ES256", -7, hashes.SHA256(), "secp256r1", 32),
    Algorithm("ES384", -35, hashes.SHA384(), "secp384r1", 48),
    Algorithm("ES512", -36, hashes.SHA512(), "secp521r1", 66),
)
BY_CURVE: Final = {algorithm.curve: algorithm for algorithm in ALGORITHMS}
BY_IDENTIFIER: Final = {algorithm.identifier: algorithm for algorithm in ALGORITHMS}
BY_NAME: Final = {algorithm.name: algorithm for algorithm in ALGORITHMS}


def signed_bytes(protected: bytes, payload: bytes) -> bytes:
    """Return what a COSE_Sign1 signature is over: the Sig_structure, without external data."""
    return cbor2.dumps(["Signature1", protected, b"", payload])


def raw_from_der(der: bytes, half: int) -> bytes:
    """Return an ECDSA signature as COSE writes it: r and s, big-endian, ``half`` bytes each.

    Args:
        der: as X.509, OpenSSL and KMS write it (RFC 3279, 2.2.3: Ecdsa-Sig-Value).
        half: of the key's curve.

    Raises:
        ValueError: it is no such signature, or one of a larger curve.
    """
    numbers = decode_dss_signature(der)
    if any(number < 0 or number.bit_length() > 8 * half for number in numbers):
        raise ValueError("r or s does not fit the curve")
    return b"".join(number.to_bytes(half, "big") for number in numbers)


def der_from_raw(raw: bytes) -> bytes:
    """Return an ECDSA signature as X.509 writes it; the inverse of ``raw_from_der``.

    Raises:
        ValueError: it has no two halves.
    """
    half, odd = divmod(len(raw), 2)
    if odd or not half:
        raise ValueError("r and s have one size")
    return encode_dss_signature(*(int.from_bytes(part, "big") for part in (raw[:half], raw[half:])))
