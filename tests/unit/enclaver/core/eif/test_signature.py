from __future__ import annotations

from contextlib import suppress
from hashlib import sha384

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.eif.signature import parse_signature
from enclaver.core.errors import EnclaverError
from tests.unit.enclaver.core.eif.images import cose_sign1, key_and_certificate, pem, signature_section

PCR0 = sha384(b"image").digest()
KEY, CERTIFICATE = key_and_certificate()
GOOD = signature_section(KEY, CERTIFICATE, PCR0)


def test_a_good_signature() -> None:
    signature = parse_signature(GOOD)
    assert signature.algorithm == "ES384"
    assert signature.subject == "CN=signer.example.com"
    assert signature.certificate_der == CERTIFICATE.public_bytes(serialization.Encoding.DER)
    assert signature.problem(PCR0) is None


@pytest.mark.parametrize(
    ("curve", "algorithm", "name"),
    [(ec.SECP256R1(), -7, "ES256"), (ec.SECP521R1(), -36, "ES512")],
    ids=["ES256", "ES512"],
)
def test_the_other_algorithms(curve: ec.EllipticCurve, algorithm: int, name: str) -> None:
    key, certificate = key_and_certificate(curve)
    signature = parse_signature(signature_section(key, certificate, PCR0, algorithm=algorithm))
    assert signature.algorithm == name
    assert signature.problem(PCR0) is None


def test_real_byte_strings_and_the_cose_tag_are_taken_too() -> None:
    payload = cbor2.dumps({"register_index": 0, "register_value": PCR0})
    message = cbor2.dumps(cbor2.CBORTag(18, cbor2.loads(cose_sign1(KEY, payload))))
    raw = cbor2.dumps([{"signing_certificate": pem(CERTIFICATE), "signature": message}])
    assert parse_signature(raw).problem(PCR0) is None


def test_what_makes_it_invalid() -> None:
    other_key, other_certificate = key_and_certificate()
    small, _ = key_and_certificate(ec.SECP256R1())
    assert parse_signature(GOOD).problem(bytes(48)) == "it is over another PCR0"
    wrong = parse_signature(signature_section(other_key, CERTIFICATE, PCR0))
    assert wrong.problem(PCR0) == "it was not made with the certificate's key"
    swapped = parse_signature(signature_section(KEY, other_certificate, PCR0))
    assert swapped.problem(PCR0) == "it was not made with the certificate's key"
    # It verifies, and AWS's tools refuse it all the same.
    hash_ = parse_signature(signature_section(KEY, CERTIFICATE, PCR0, algorithm=-36))
    assert hash_.problem(PCR0) == "ES512 does not go with the certificate's key"
    length = parse_signature(signature_section(small, CERTIFICATE, PCR0))
    assert length.problem(PCR0) == "its length does not fit the certificate's key"


def section(certificate: object = None, signature: object = None) -> bytes:
    """A section with one part replaced."""
    good = cbor2.loads(GOOD)[0]
    return cbor2.dumps(
        [
            {
                "signing_certificate": certificate if certificate is not None else good["signing_certificate"],
                "signature": signature if signature is not None else good["signature"],
            }
        ]
    )


def message(payload: object = None, *, algorithm: object = -35) -> bytes:
    protected = cbor2.dumps({1: algorithm} if algorithm is not None else [])
    body = cbor2.dumps({"register_index": 0, "register_value": PCR0} if payload is None else payload)
    return cbor2.dumps([protected, {}, body, bytes(96)])


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "the section is not CBOR"),
        (b"\xff", "the section is not CBOR"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "the section is not CBOR"),
        (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "the section is not CBOR"),
        (b"\x81" * 60000, "the section is not CBOR"),
        (b"\xd8\x1c" * 30000, "the section is not CBOR"),
        (cbor2.dumps({}), "a list of one signature"),
        (cbor2.dumps([]), "a list of one signature"),
        (cbor2.dumps([{}, {}]), "a list of one signature"),
        (cbor2.dumps([{}]), "lacks a byte string|no X.509"),
        (section(certificate=[256]), "lacks a byte string|no X.509"),
        (section(certificate=b"-----BEGIN CERTIFICATE-----\n"), "no X.509 certificate"),
        (section(signature=b""), "the COSE message is not CBOR"),
        (section(signature="text"), "lacks a byte string"),
        (section(signature=[-1]), "lacks a byte string"),
        (section(signature=[True]), "lacks a byte string"),
        (section(signature=cbor2.dumps([1, 2, 3])), "not a COSE_Sign1"),
        (section(signature=cbor2.dumps(cbor2.CBORTag(17, [b"", {}, b"", b""]))), "not a COSE_Sign1"),
        (section(signature=message(algorithm=-8)), "not signed by ES256"),
        (section(signature=message(algorithm="ES384")), "not signed by ES256"),
        (section(signature=message(algorithm=None)), "not signed by ES256"),
        (section(signature=message({"register_index": 1, "register_value": PCR0})), "not a signature over PCR0"),
        (section(signature=message([])), "not a signature over PCR0"),
        (section(signature=message({"register_index": 0})), "lacks a byte string"),
    ],
    ids=range(24),
)
def test_what_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        parse_signature(raw)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_is_refused_or_found_and_never_crashes(data: st.DataObject) -> None:
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(EnclaverError):
        signature = parse_signature(bytes(raw))
        assert signature.problem(bytes(48))
        # What isn't signed, like the PEM's white space, may change without a problem.
        signature.problem(PCR0)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(EnclaverError):
        parse_signature(raw)
