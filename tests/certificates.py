"""Certificates and keys for tests, made when they are needed: none lies in the repository."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
# No clock: what a test makes today is what it makes in ten years.
_FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
_LAST_DAY = datetime(2120, 1, 1, tzinfo=UTC)


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that takes its time to be made: the same one each time."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """A new key, of P-256 if no curve is given."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def key_pem(
    key: PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    """A key as PEM."""
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def encrypted_pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """A key as PEM, encrypted."""
    return key_pem(key, form, BestAvailableEncryption(b"passphrase"))


@dataclass(frozen=True)
class Identity:
    """A server's chain, its own certificate first, and its key; PEM."""

    chain: bytes
    key: bytes

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both into a folder, and return the paths of chain and key."""
        paths = folder / "cert.pem", folder / "key.pem"
        for path, content in zip(paths, (self.chain, self.key), strict=True):
            path.write_bytes(content)
        return paths


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "Test authority", *, key: PrivateKey | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = key or ec_key()
        builder = _builder(self.name, self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = self._signed(builder)

    def certificate(self, key: PrivateKey, names: Iterable[str] = ("localhost", "127.0.0.1")) -> bytes:
        """Certify that a key is that of names and addresses; PEM."""
        builder = _builder(x509.Name([]), self.name, key.public_key())
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        # Critical, since the subject is empty (RFC 5280, 4.2.1.6).
        builder = builder.add_extension(alternatives, critical=True)
        return self._signed(builder)

    def identity(self, key: PrivateKey | None = None, *, names: Iterable[str] = ("localhost", "127.0.0.1")) -> Identity:
        """A server: its certificate, this authority's, and its key (a new one, unless given); of this machine, or
        of other names and addresses."""
        key = key or ec_key()
        return Identity(self.certificate(key, names) + self.pem, key_pem(key))

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        digest = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(self.key, digest).public_bytes(Encoding.PEM)


def self_signed(key: PrivateKey, *, first: datetime = _FIRST_DAY, last: datetime = _LAST_DAY) -> bytes:
    """A certificate that a key signs images with, made by itself; PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer.example.com")])
    builder = _builder(name, name, key.public_key(), first, last)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificatePublicKeyTypes,
    first: datetime = _FIRST_DAY,
    last: datetime = _LAST_DAY,
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=first,
        not_valid_after=last,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
