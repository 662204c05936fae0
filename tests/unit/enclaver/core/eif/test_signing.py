from __future__ import annotations

from contextlib import suppress
from hashlib import sha384

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.eif.signature import parse_signature
from enclaver.core.eif.signing import Signer, algorithm_of
from enclaver.core.errors import EnclaverError
from tests.certificates import rsa_key
from tests.unit.enclaver.core.eif.images import key_and_certificate, pem
from tests.unit.enclaver.core.eif.signers import signer

PCR0 = sha384(b"image").digest()
KEY, CERTIFICATE = key_and_certificate()
SIGNER = signer(KEY, CERTIFICATE)
GOOD = SIGNER.section(PCR0)
SIGNED = parse_signature(GOOD)
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.mark.parametrize(("curve", "name"), zip(CURVES, ["ES256", "ES384", "ES512"], strict=True), ids=str)
def test_each_curve_has_its_algorithm(curve: ec.EllipticCurve, name: str) -> None:
    key, certificate = key_and_certificate(curve)
    one = signer(key, certificate)
    found = parse_signature(one.section(PCR0))
    assert (found.algorithm, one.algorithm.name) == (name, name)
    assert found.problem(PCR0) is None
    assert found.certificate_der == one.certificate_der == certificate.public_bytes(serialization.Encoding.DER)
    assert found.subject == one.subject == "CN=signer.example.com"


def test_the_bytes_are_awss() -> None:
    """Structure by structure as serde writes it: arrays of integers, keys in their order, no tag."""
    (one,) = cbor2.loads(GOOD)
    assert list(one) == ["signing_certificate", "signature"]
    assert one["signing_certificate"] == list(pem(CERTIFICATE))
    protected, unprotected, _, signature = cbor2.loads(bytes(one["signature"]))
    assert (protected, unprotected, len(signature)) == (bytes.fromhex("a1013822"), {}, 96)
    # Of a register 0, 1, 2... these are the bytes in a test of AWS's own (src/utils/cbor.rs).
    (one,) = cbor2.loads(SIGNER.section(bytes(range(48))))
    payload = cbor2.loads(bytes(one["signature"]))[2]
    assert payload.hex() == (
        "a26e72656769737465725f696e646578006e72656769737465725f76616c75659830"
        "000102030405060708090a0b0c0d0e0f1011121314151617"
        "1818181918" + "1a181b181c181d181e181f" + "".join(f"18{number:02x}" for number in range(32, 48))
    )


def test_equal_signers_make_equal_sections() -> None:
    assert signer(KEY, CERTIFICATE).section(PCR0) == GOOD
    assert SIGNER.section(bytes(48)) != GOOD


def test_no_repr_tells_of_the_key() -> None:
    assert "sign=" not in repr(SIGNER)


def test_what_is_no_signature_never_leaves() -> None:
    other, _ = key_and_certificate()
    with pytest.raises(EnclaverError, match="not valid: it was not made with the certificate's key"):
        signer(other, CERTIFICATE).section(PCR0)
    with pytest.raises(EnclaverError, match="not valid: its length"):
        Signer(CERTIFICATE, lambda _: b"short").section(PCR0)


def test_an_error_of_the_signers_comes_through() -> None:
    def refuse(_: bytes) -> bytes:
        raise EnclaverError("no")

    with pytest.raises(EnclaverError, match="no"):
        Signer(CERTIFICATE, refuse).section(PCR0)


def test_a_section_that_nobody_would_read() -> None:
    with pytest.raises(EnclaverError, match="and 65536 are the most"):
        Signer(CERTIFICATE, lambda _: bytes(70_000)).section(PCR0)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa_key(), "the kind RSA"),
        (ed25519.Ed25519PrivateKey.generate(), "the kind Ed25519"),
        (ec.generate_private_key(ec.SECP256K1()), "the curve secp256k1"),
    ],
)
def test_keys_that_sign_no_image(key: ec.EllipticCurvePrivateKey, kind: str) -> None:
    with pytest.raises(EnclaverError, match=kind) as caught:
        algorithm_of(key.public_key())
    assert "P-256, P-384 or P-521" in caught.value.what
    with pytest.raises(EnclaverError, match="an unknown kind"):
        algorithm_of(object())


@given(st.binary(min_size=48, max_size=48))
@settings(max_examples=30)
def test_any_register_is_signed(register: bytes) -> None:
    found = parse_signature(SIGNER.section(register))
    assert (found.register_value, found.problem(register)) == (register, None)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data())
def test_a_changed_section_is_refused_or_found(data: st.DataObject) -> None:
    raw = bytearray(GOOD)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with suppress(EnclaverError):
        found = parse_signature(bytes(raw))
        # Another certificate of the same key is another PCR8; else only the PEM's armour and a COSE header are free.
        other = found.certificate != CERTIFICATE
        assert found.problem(PCR0) or other or (found.signed, found.signature) == (SIGNED.signed, SIGNED.signature)
