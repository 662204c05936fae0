"""Signers for tests, as build/signing.py makes them of PEM files."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from enclaver.core.eif import cose
from enclaver.core.eif.signing import Signer


def signer(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Signer:
    """One that signs with a key, deterministically."""
    algorithm = cose.BY_CURVE[key.curve.name]

    def sign(digest: bytes) -> bytes:
        der = key.sign(digest, ec.ECDSA(Prehashed(algorithm.digest), deterministic_signing=True))
        return cose.raw_from_der(der, algorithm.half)

    return Signer(certificate, sign)
