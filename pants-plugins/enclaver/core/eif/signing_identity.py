"""What images are signed with: one certificate, and the private key of it when that is a PEM file.

AWS's tools read the first certificate of a file and sign with whatever key they are given; what is wrong with the two
shows in an enclave that does not start, or in a signature nobody can check. Here it is found out before anything is
built. The clock is the caller's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from enclaver.core.eif.signing import algorithm_of
from enclaver.core.errors import EnclaverError
from enclaver.core.tls.pem import blocks
from enclaver.core.tls.pem_objects import (
    CERTIFICATE,
    PRIVATE_KEY,
    instead,
    load_certificate,
    load_private_key,
    spki,
)

#: What a certificate or a key may take, in bytes: the signature section has 64 KiB, and two bytes for each of the
#: certificate's.
MAX_SIZE: Final = 24 * 1024


def read_certificate(text: bytes, now: datetime) -> x509.Certificate:
    """Return the one certificate of a PEM file, fit to sign images with at a point of time.

    Args:
        text: the file's.
        now: the time, with its zone.

    Raises:
        EnclaverError: there is none or more than one, it is damaged, not valid yet or any more, its key is of a kind
            that no image is signed with, or a private key lies beside it.
    """
    found = blocks(text)
    # Also one of a kind that signs no image, such as OpenSSH's own.
    if key := next((block for block in found if block.label.endswith(PRIVATE_KEY)), None):
        raise EnclaverError(
            "holds a private key beside the certificate, and this file is copied into caches",
            place=key.place,
            cure="Put the certificate into a file of its own.",
        )
    certificates = [block for block in found if block.label == CERTIFICATE]
    if not certificates:
        raise EnclaverError(
            f"holds no certificate{instead(found)}", cure="Write it as PEM: `-----BEGIN CERTIFICATE-----`."
        )
    if len(certificates) > 1:
        raise EnclaverError(
            f"holds {len(certificates)} certificates, and an image is signed with one",
            place=certificates[1].place,
            cure="Leave the signing certificate, and remove those that certify it.",
        )
    (block,) = certificates
    certificate = load_certificate(block)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    try:
        algorithm_of(certificate.public_key())
    except EnclaverError as error:
        error.place = block.place
        raise
    if now < first:
        raise EnclaverError(
            f"the certificate is not valid before {_day(first)}",
            place=block.place,
            cure="Sign with one that is valid now, or set this machine's clock right.",
        )
    if now > last:
        raise EnclaverError(
            f"the certificate has expired: it was valid until {_day(last)}",
            place=block.place,
            cure="Renew it; PCR8 changes with it, so policies that name PCR8 have to be changed too.",
        )
    return certificate


def read_private_key(text: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM file; no message holds anything of it.

    Raises:
        EnclaverError: there is none or more than one, or it is encrypted, damaged, or of a kind that no image is signed
            with.
    """
    block, key = load_private_key(
        text,
        encrypted="a build asks nobody for a passphrase",
        decrypt="Decrypt it (`openssl pkey -in OLD -out NEW`), or keep the key in KMS.",
    )
    try:
        algorithm_of(key.public_key())
    except EnclaverError as error:
        error.place = block.place
        raise
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def check_match(certificate: x509.Certificate, public_key: CertificatePublicKeyTypes) -> None:
    """Refuse a key that is not the certificate's.

    Raises:
        EnclaverError: it is another's.
    """
    if spki(certificate.public_key()) != spki(public_key):
        raise EnclaverError(
            "the key is not that of the signing certificate",
            cure="Name a certificate and a key that were made for each other.",
        )


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
