"""Makes the signature section: whoever holds a certificate's key signs an image's PCR0.

The bytes are those of AWS's tools: canonical CBOR as serde writes these structures, their byte strings as arrays of
integers, around an untagged COSE_Sign1. Source: aws-nitro-enclaves-image-format, src/utils/eif_signer.rs and cbor.rs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from enclaver.core.eif import cose
from enclaver.core.eif.format import SMALL_LIMITS, SectionType
from enclaver.core.eif.signature import parse_signature
from enclaver.core.errors import EnclaverError

#: The curves that an image can be signed with, for messages.
CURVES: Final = "P-256, P-384 or P-521"

_REGISTER: Final = 0


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs images.

    Args:
        certificate: the signing certificate; PCR8 measures it.
        sign: makes a signature with the certificate's key: of a digest by the hash of ``algorithm``, r and s as COSE
            writes them. It may raise EnclaverError. It is in no ``repr``, since it holds the key or knows who does.

    Raises:
        EnclaverError: the certificate's key is of a kind that no image can be signed with.
    """

    certificate: x509.Certificate
    sign: Callable[[bytes], bytes] = field(repr=False)

    def __post_init__(self) -> None:
        algorithm_of(self.certificate.public_key())

    @property
    def algorithm(self) -> cose.Algorithm:
        """The algorithm of the certificate's key."""
        return algorithm_of(self.certificate.public_key())

    @property
    def subject(self) -> str:
        """The certificate's subject, as RFC 4514 writes it."""
        return self.certificate.subject.rfc4514_string()

    @property
    def certificate_der(self) -> bytes:
        """The certificate's DER, the content that PCR8 measures."""
        return self.certificate.public_bytes(Encoding.DER)

    def section(self, pcr0: bytes) -> bytes:
        """Sign an image's PCR0; return the section's data, which was read back and verified.

        Raises:
            EnclaverError: ``sign`` failed, or what it made is no signature by the certificate's key.
        """
        algorithm = self.algorithm
        protected = cbor2.dumps({cose.ALGORITHM_LABEL: algorithm.identifier})
        payload = cbor2.dumps({"register_index": _REGISTER, "register_value": list(pcr0)})
        digest = hashes.Hash(algorithm.digest)
        digest.update(cose.signed_bytes(protected, payload))
        message = cbor2.dumps([protected, {}, payload, self.sign(digest.finalize())])
        # The certificate alone, in its one canonical form: a comment in its file changes no image.
        pem = self.certificate.public_bytes(Encoding.PEM)
        section = cbor2.dumps([{"signing_certificate": list(pem), "signature": list(message)}])
        limit = SMALL_LIMITS[SectionType.SIGNATURE]
        if len(section) > limit:
            raise EnclaverError(
                f"the signature takes {len(section)} bytes with its certificate, and {limit} are the most that is read",
                cure="Use a smaller certificate.",
            )
        if (problem := parse_signature(section).problem(pcr0)) is not None:
            raise EnclaverError(
                f"the signature that was made is not valid: {problem}",
                cure="Check that the key is the signing certificate's.",
            )
        return section


def algorithm_of(public_key: object) -> cose.Algorithm:
    """Return the algorithm that a key signs images with.

    Raises:
        EnclaverError: there is none; the text names the kind of key.
    """
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        if found := cose.BY_CURVE.get(public_key.curve.name):
            return found
        kind = f"the curve {public_key.curve.name}"
    else:
        kind = next((name for name in ("RSA", "Ed25519", "Ed448", "DSA") if name in type(public_key).__name__), "")
        kind = f"the kind {kind}" if kind else "an unknown kind"
    raise EnclaverError(
        f"the key is of {kind}, and images are signed with elliptic curves ({CURVES}) only",
        cure="Make a key and a certificate of P-384, as docs/signing.md shows.",
    )
