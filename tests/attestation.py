"""Attestation documents as a stranger reads them: cbor2 and cryptography, nothing of this project."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

# ES384, the only algorithm of attestation documents, in COSE's protected header.
PROTECTED = bytes.fromhex("a1013822")
CHAIN = 5
FIELDS = "module_id digest timestamp pcrs certificate cabundle public_key user_data nonce".split()


@dataclass(frozen=True)
class Document:
    """A document taken apart, nothing of it checked.

    Args:
        protected: the header that is signed, CBOR.
        payload: what is signed, CBOR.
        fields: what the payload says.
        signature: r and s.
    """

    protected: bytes
    payload: bytes
    fields: dict[str, Any]
    signature: bytes

    @property
    def chain(self) -> list[x509.Certificate]:
        """The certificates, the root first, the one that signs last."""
        ders = [*self.fields["cabundle"], self.fields["certificate"]]
        return [x509.load_der_x509_certificate(der) for der in ders]

    @property
    def time(self) -> datetime.datetime:
        """When it was made."""
        return datetime.datetime.fromtimestamp(self.fields["timestamp"] / 1000, datetime.UTC)


def parse(document: bytes) -> Document:
    """Take a document apart: a COSE_Sign1 without its tag."""
    protected, unprotected, payload, signature = cbor2.loads(document)
    assert unprotected == {}
    return Document(protected, payload, cbor2.loads(payload), signature)


def verify(document: bytes, root_pem: bytes) -> dict[str, Any]:
    """Check all that is to be checked of a document, at the time it was made; what it says."""
    parsed = parse(document)
    chain, fields = parsed.chain, parsed.fields
    assert parsed.protected == PROTECTED
    assert list(fields) == FIELDS
    assert fields["digest"] == "SHA384"
    assert list(fields["pcrs"])[:16] == list(range(16))
    assert {len(value) for value in fields["pcrs"].values()} == {48}
    assert chain[0] == x509.load_pem_x509_certificate(root_pem)
    assert len(chain) == CHAIN
    _verify_chain(chain, parsed.time)
    key = chain[-1].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert len(parsed.signature) == 96
    numbers = (int.from_bytes(parsed.signature[:48], "big"), int.from_bytes(parsed.signature[48:], "big"))
    signed = cbor2.dumps(["Signature1", PROTECTED, b"", parsed.payload])
    key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA384()))
    return fields


def _verify_chain(chain: list[x509.Certificate], time: datetime.datetime) -> None:
    issuers = [chain[0], *chain]
    for issuer, certificate in zip(issuers, chain, strict=False):
        certificate.verify_directly_issued_by(issuer)
        assert certificate.not_valid_before_utc <= time <= certificate.not_valid_after_utc
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP384R1)
        assert isinstance(certificate.signature_hash_algorithm, hashes.SHA384)
    for below, certificate in enumerate(reversed(chain)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert constraints.critical
        assert constraints.value.ca is (below > 0)
        assert usage.key_cert_sign is (below > 0)
        if below == 0:
            assert usage.digital_signature
        elif constraints.value.path_length is not None:
            assert constraints.value.path_length >= below - 1
