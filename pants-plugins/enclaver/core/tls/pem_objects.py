"""Certificates and private keys of PEM files: what is damaged, encrypted or not there is refused.

What a kind of key is good for is its user's to say. No message holds anything of a key, and no error of a library that
has read one is chained.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from enclaver.core.errors import EnclaverError
from enclaver.core.tls.pem import Block, blocks

#: The label of a certificate.
CERTIFICATE: Final = "CERTIFICATE"
#: How the labels of private keys end, of whatever kind.
PRIVATE_KEY: Final = "PRIVATE KEY"

_ENCRYPTED: Final = "ENCRYPTED PRIVATE KEY"
# Of the kinds that certificates are made for.
_KEYS: Final = frozenset({PRIVATE_KEY, "RSA PRIVATE KEY", "EC PRIVATE KEY", _ENCRYPTED})
_AGAIN: Final = "Copy the file again, whole, or export it anew."


def load_certificate(block: Block) -> x509.Certificate:
    """Return a block's certificate, of which name, dates, hash and public key can be asked for.

    Raises:
        EnclaverError: it is damaged, or of a kind that nobody knows.
    """
    try:
        with warnings.catch_warnings():
            # What is merely old-fashioned (a serial number of zero) is the issuer's matter.
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(block.data)
            # What is broken in these shows only when it is asked for.
            certificate.subject.rfc4514_string()
            certificate.public_key()
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise EnclaverError(
            "the certificate cannot be read: it is damaged or of an unknown kind", place=block.place, cure=_AGAIN
        ) from error
    return certificate


def load_private_key(
    text: bytes, *, encrypted: str, decrypt: str, known: str = _AGAIN
) -> tuple[Block, PrivateKeyTypes]:
    """Return the one private key of a PEM file, and the block that it is in.

    Args:
        text: the file's.
        encrypted: why one that is encrypted will not do.
        decrypt: the cure of that.
        known: the cure of one that can't be read: which kinds can.

    Raises:
        EnclaverError: there is none or more than one, or it is encrypted, damaged, or of a kind that nobody knows.
    """
    found = blocks(text)
    keys = [block for block in found if block.label in _KEYS]
    if not keys:
        raise EnclaverError(
            f"holds no private key{instead(found)}", cure="Write it as PEM: `openssl pkey -in OLD -out NEW`."
        )
    if len(keys) > 1:
        raise EnclaverError(
            "holds a second private key", place=keys[1].place, cure="Leave the certificate's own, and remove the other."
        )
    (block,) = keys
    if block.encrypted or block.label == _ENCRYPTED:
        raise EnclaverError(f"the private key is encrypted, and {encrypted}", place=block.place, cure=decrypt)
    try:
        # With its label, by which OpenSSL decides what to read.
        return block, load_pem_private_key(block.canonical, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The error is not shown nor chained: what it says of a key is not ours to know.
        raise EnclaverError(
            "the private key cannot be read: it is damaged or of an unknown kind", place=block.place, cure=known
        ) from None


def spki(key: CertificatePublicKeyTypes) -> bytes:
    """Return a public key as certificates have it: DER, SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def instead(found: Sequence[Block]) -> str:
    """Return what a file holds instead of what was looked for, to be said after that."""
    labels = sorted({block.label for block in found})
    return f", only {', '.join(labels)}" if labels else " in PEM"
