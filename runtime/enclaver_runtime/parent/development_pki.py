"""The certificates behind development attestation documents: a chain of five, as real documents have, and its keys.

Real ones go from AWS's root over a region's, a zone's and an instance's certificate to the enclave's, which signs. The
extensions and lifetimes here are those of real ones, but for the lists of revoked certificates, which nobody serves.
The keys are in this process's memory only and end with it, so nobody can ever sign with this root again.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

#: The root's name, which says what it is wherever a certificate is shown.
ROOT_NAME = "Enclaver development attestation root (proves nothing)"

#: How long the certificates below the root are good; all of them are made anew when half of the last one's is over.
REGION_LIFETIME = datetime.timedelta(days=20)
ZONE_LIFETIME = datetime.timedelta(days=6)
INSTANCE_LIFETIME = datetime.timedelta(days=1)
LEAF_LIFETIME = datetime.timedelta(hours=3)

_ROOT_LIFETIME = datetime.timedelta(days=30 * 365)

# A verifier's clock may be a moment behind.
_EARLY = datetime.timedelta(seconds=3)

# Of a P-384 signature's two numbers.
_NUMBER_SIZE = 48

# All that a key may be for, by RFC 5280, 4.2.1.3; the library wants every one of them named.
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_AUTHORITY = ("digital_signature", "key_cert_sign", "crl_sign")


@dataclass(frozen=True, slots=True)
class Signer:
    """The enclave's certificate of the moment, its key, and what leads to it.

    Args:
        certificate: DER.
        cabundle: the others of the chain, DER, the root first.
        key: the certificate's.
        renew_at: when another one should sign.
    """

    certificate: bytes
    cabundle: Sequence[bytes]
    key: ec.EllipticCurvePrivateKey
    renew_at: datetime.datetime

    def sign(self, data: bytes) -> bytes:
        """An ES384 signature as COSE has it: both numbers, 48 bytes each (RFC 9053, 2.1)."""
        numbers = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA384())))
        return b"".join(number.to_bytes(_NUMBER_SIZE, "big") for number in numbers)


class DevelopmentPki:
    """A root made for one run, and what signs below it.

    Args:
        module_id: the enclave's name in its certificate.
        now: the time from which on the chain is good, with a time zone.
    """

    def __init__(self, *, module_id: str, now: datetime.datetime) -> None:
        self._module_id = module_id
        self._root = _Authority.root(now)
        self._signer = self._issue(now)

    @property
    def root(self) -> x509.Certificate:
        """The root, for who is to trust it."""
        return self._root.certificate

    def signer(self, now: datetime.datetime) -> Signer:
        """What signs at ``now``, and is good for a while after."""
        if now >= self._signer.renew_at:
            self._signer = self._issue(now)
        return self._signer

    def _issue(self, now: datetime.datetime) -> Signer:
        region = self._root.authority("region.development.enclaver", now, REGION_LIFETIME, depth=2)
        zone = region.authority("zone.region.development.enclaver", now, ZONE_LIFETIME, depth=1)
        instance = zone.authority("instance.zone.region.development.enclaver", now, INSTANCE_LIFETIME, depth=0)
        key = _new_key()
        leaf = instance.leaf(f"{self._module_id}.development.enclaver", key, now)
        return Signer(
            certificate=leaf.public_bytes(Encoding.DER),
            cabundle=[each.certificate.public_bytes(Encoding.DER) for each in (self._root, region, zone, instance)],
            key=key,
            renew_at=now + LEAF_LIFETIME / 2,
        )


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def root(cls, now: datetime.datetime) -> _Authority:
        key = _new_key()
        name = _name(ROOT_NAME)
        builder = _builder(name, key, name, now, _ROOT_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(_usage(*_AUTHORITY), critical=True)
        return cls(builder.sign(key, hashes.SHA384()), key)

    def authority(self, name: str, now: datetime.datetime, lifetime: datetime.timedelta, *, depth: int) -> _Authority:
        """An authority below this one, with at most ``depth`` of them below it."""
        key = _new_key()
        # The last of them, an instance's, may certify its enclaves, and nothing else.
        usage = _usage(*_AUTHORITY) if depth else _usage("key_cert_sign")
        builder = _builder(_name(name), key, self.certificate.subject, now, lifetime)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(usage, critical=True)
        return _Authority(builder.sign(self.key, hashes.SHA384()), key)

    def leaf(self, name: str, key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
        """A certificate for who signs documents; real ones carry no identifiers, and their usage is not critical."""
        builder = _builder(_name(name), key, self.certificate.subject, now, LEAF_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage("digital_signature", "content_commitment"), critical=False)
        return builder.sign(self.key, hashes.SHA384())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    now: datetime.datetime,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    # Certificates count whole seconds.
    start = now.replace(microsecond=0)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start - _EARLY,
        not_valid_after=start + lifetime,
    )


def _usage(*wanted: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in wanted for usage in _USAGES})


def _name(common_name: str) -> x509.Name:
    parts = (
        (NameOID.ORGANIZATION_NAME, "Enclaver development"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "not AWS"),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
