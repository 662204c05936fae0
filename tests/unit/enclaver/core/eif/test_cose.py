from __future__ import annotations

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.eif import cose
from tests.certificates import ec_key

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


def test_an_algorithm_is_that_of_its_curve_and_hash() -> None:
    assert [(one.name, one.identifier, one.curve) for one in cose.ALGORITHMS] == [
        ("ES256", -7, "secp256r1"),
        ("ES384", -35, "secp384r1"),
        ("ES512", -36, "secp521r1"),
    ]
    for curve, algorithm in zip(CURVES, cose.ALGORITHMS, strict=True):
        assert cose.BY_CURVE[curve.name] is cose.BY_NAME[algorithm.name] is cose.BY_IDENTIFIER[algorithm.identifier]
        assert algorithm.half == (curve.key_size + 7) // 8


def test_what_is_signed_is_rfc_9052s_structure() -> None:
    assert cbor2.loads(cose.signed_bytes(b"\xa0", b"payload")) == ["Signature1", b"\xa0", b"", b"payload"]


@given(st.data(), st.sampled_from(cose.ALGORITHMS))
def test_der_to_raw_and_back(data: st.DataObject, algorithm: cose.Algorithm) -> None:
    numbers = [data.draw(st.integers(0, (1 << 8 * algorithm.half) - 1)) for _ in range(2)]
    der = encode_dss_signature(*numbers)
    raw = cose.raw_from_der(der, algorithm.half)
    assert raw == b"".join(number.to_bytes(algorithm.half, "big") for number in numbers)
    assert cose.der_from_raw(raw) == der


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_what_comes_back_is_still_a_signature(curve: ec.EllipticCurve) -> None:
    key, algorithm = ec_key(curve), cose.BY_CURVE[curve.name]
    raw = cose.raw_from_der(key.sign(b"text", ec.ECDSA(algorithm.digest)), algorithm.half)
    assert len(raw) == 2 * algorithm.half
    key.public_key().verify(cose.der_from_raw(raw), b"text", ec.ECDSA(algorithm.digest))
    with pytest.raises(InvalidSignature):
        key.public_key().verify(cose.der_from_raw(raw[::-1]), b"text", ec.ECDSA(algorithm.digest))


@given(st.binary(max_size=120))
def test_any_bytes_are_a_signature_or_a_value_error(der: bytes) -> None:
    try:
        raw = cose.raw_from_der(der, 32)
    except ValueError:
        return
    assert len(raw) == 64


NEGATIVE = bytes.fromhex("30060201ff020101")


@pytest.mark.parametrize("der", [encode_dss_signature(1 << 256, 1), encode_dss_signature(1, 1 << 256), NEGATIVE])
def test_numbers_that_do_not_fit_the_curve(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"does not fit|asn1"):
        cose.raw_from_der(der, 32)


@pytest.mark.parametrize("raw", [b"", b"x", bytes(63)])
def test_what_has_no_two_halves(raw: bytes) -> None:
    with pytest.raises(ValueError, match="one size"):
        cose.der_from_raw(raw)
