"""The signature section: who signed an image's PCR0.

CBOR: a list of one map, ``signing_certificate`` (PEM) and ``signature`` (COSE_Sign1, RFC 9052); the payload of
the latter is CBOR again, ``{"register_index": 0, "register_value": PCR0}``. Byte strings appear as arrays of
integers where serde wrote them. Source: aws-nitro-enclaves-image-format, src/defs/mod.rs (PcrSignature, PcrInfo).
"""

from __future__ import annotations

from dataclasses import dataclass

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from enclaver.core.eif import cose
from enclaver.core.errors import EnclaverError

_COSE_SIGN1 = 18  # CBOR tag.
_CURE = "Sign the image again."


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as found, not verified.

    Args:
        certificate: the signing certificate.
        algorithm: ``ES256``, ``ES384`` or ``ES512``.
        register_value: what it is over: the value of PCR0.
        signed: the bytes that were signed (COSE's Sig_structure).
        signature: r and s, each half of it, big-endian.
    """

    certificate: x509.Certificate
    algorithm: str
    register_value: bytes
    signed: bytes
    signature: bytes

    @property
    def certificate_der(self) -> bytes:
        """The certificate's DER, the content that PCR8 measures."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def subject(self) -> str:
        """The certificate's subject, as RFC 4514 writes it."""
        return self.certificate.subject.rfc4514_string()

    def problem(self, pcr0: bytes) -> str | None:
        """Return why the signature isn't the certificate's over this PCR0, or None when it is.

        Whether the certificate is to be trusted, or was valid at some time, is not looked at: PCR8 says
        which certificate it was.
        """
        if self.register_value != pcr0:
            return "it is over another PCR0"
        key = self.certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return "the certificate's key is not of an elliptic curve"
        # Any ECDSA library would take another hash of another strength; AWS's tools refuse it.
        algorithm = cose.BY_CURVE.get(key.curve.name)
        if algorithm is None or algorithm.name != self.algorithm:
            return f"{self.algorithm} does not go with the certificate's key"
        if len(self.signature) != 2 * algorithm.half:
            return "its length does not fit the certificate's key"
        try:
            key.verify(cose.der_from_raw(self.signature), self.signed, ec.ECDSA(algorithm.digest))
        except InvalidSignature:
            return "it was not made with the certificate's key"
        return None


def parse_signature(raw: bytes) -> Signature:
    """Parse a signature section.

    Args:
        raw: the section's data; the caller caps its size.

    Raises:
        EnclaverError: it isn't what AWS's tools write.
    """
    document = _loads(raw, "the section")
    if not isinstance(document, list) or len(document) != 1 or not isinstance(document[0], dict):
        raise EnclaverError("is not a list of one signature", cure=_CURE)
    try:
        certificate = x509.load_pem_x509_certificate(_bytes(document[0].get("signing_certificate")))
        certificate.public_key()  # Both parse lazily: a broken name or key shows only when it is asked for.
        certificate.subject.rfc4514_string()
    except Exception as error:
        raise EnclaverError("has no X.509 certificate in PEM that can be read", cure=_CURE) from error
    message = _loads(_bytes(document[0].get("signature")), "the COSE message")
    if isinstance(message, cbor2.CBORTag) and message.tag == _COSE_SIGN1:
        message = message.value
    if not isinstance(message, list | tuple) or len(message) != 4:
        raise EnclaverError("is not a COSE_Sign1 message", cure=_CURE)
    protected, _, payload, signature = message
    headers = _loads(_bytes(protected), "the COSE header")
    algorithm = headers.get(cose.ALGORITHM_LABEL) if isinstance(headers, dict) else None
    if not isinstance(algorithm, int) or algorithm not in cose.BY_IDENTIFIER:
        raise EnclaverError("is not signed by ES256, ES384 or ES512", cure=_CURE)
    register = _loads(_bytes(payload), "the COSE payload")
    if not isinstance(register, dict) or register.get("register_index") != 0:
        raise EnclaverError("is not a signature over PCR0", cure=_CURE)
    return Signature(
        certificate,
        cose.BY_IDENTIFIER[algorithm].name,
        _bytes(register.get("register_value")),
        cose.signed_bytes(_bytes(protected), _bytes(payload)),
        _bytes(signature),
    )


_BREAK = b"\xff"


def _loads(raw: bytes, what: str) -> object:
    try:
        if raw[:1] == _BREAK:
            raise ValueError("a break ends nothing here")  # cbor2 returns a marker for it.
        return cbor2.loads(raw)
    except Exception as error:
        raise EnclaverError(f"{what} is not CBOR", cure=_CURE) from error


def _bytes(value: object) -> bytes:
    """Return a byte string, written as one or as an array of integers."""
    if isinstance(value, bytes):
        return value
    try:
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return bytes(value)
    except ValueError:
        pass
    raise EnclaverError("lacks a byte string where one must be", cure=_CURE)
