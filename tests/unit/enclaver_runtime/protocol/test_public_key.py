from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.public_key import PublicKeyError, der_of_pem
from tests.certificates import Authority, ec_key, key_pem, rsa_key

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
KEY = ec_key().public_key()
DER = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem_of(der: bytes, label: str = "PUBLIC KEY") -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        ec_key(ec.SECP521R1()).public_key(),
        rsa_key().public_key(),
        rsa_key(4096).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ],
)
def test_keys_of_all_kinds_become_their_der(key: PublicKey) -> None:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (pem, pem.strip(), pem.replace("\n", "\r\n"), f"\n  {pem}\n", pem_of(der)):
        assert der_of_pem(text) == der


@pytest.mark.parametrize("text", ["", "x", base64.b64encode(DER).decode(), pem_of(DER)[1:], pem_of(DER)[:-9]])
def test_what_is_no_pem_is_told_what_one_is(text: str) -> None:
    with pytest.raises(PublicKeyError, match="^is no PEM: it does not go from a line -----BEGIN PUBLIC KEY----- to"):
        der_of_pem(text)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (key_pem(ec_key()).decode(), "PRIVATE KEY"),
        (Authority().pem.decode(), "CERTIFICATE"),
        (rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(), "RSA PUBLIC KEY"),
    ],
)
def test_another_pem_is_named(text: str, label: str) -> None:
    with pytest.raises(PublicKeyError, match=f"^is the PEM of a {label}: a PUBLIC KEY"):
        der_of_pem(text)


def test_a_clients_own_words_are_not_repeated() -> None:
    with pytest.raises(PublicKeyError, match="^is the PEM of something else: "):
        der_of_pem(pem_of(DER, "<script>"))
    with pytest.raises(PublicKeyError, match="^is the PEM of something else: "):
        der_of_pem(pem_of(DER, "A" * 41))
    with pytest.raises(PublicKeyError, match="^is the PEM of a PUBLIC KEY: "):
        der_of_pem(pem_of(DER).replace("END PUBLIC KEY", "END CERTIFICATE"))


def test_what_is_in_it_has_to_be_base64() -> None:
    with pytest.raises(PublicKeyError, match="^is no PEM: what it holds is not base64"):
        der_of_pem(pem_of(DER).replace("\nM", "\n*"))
    with pytest.raises(PublicKeyError, match="^is no PEM: what it holds is not base64"):
        der_of_pem(pem_of(DER) + pem_of(DER))


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"0",
        b"\x30\x81",
        b"\x30\x80\0\0",
        b"\x30\x81\x00",
        b"\x30\x82\x00\x59" + DER[2:],
        b"\x30\x81\x59" + DER[2:],
        DER[:-1],
        DER + b"\0",
        b"\x31" + DER[1:],
        DER.replace(b"\x03\x42\x00", b"\x03\x42\x01"),
        b"\x30\x0a\x30\x05\x06\x03\x2a\x03\x04\x03\x01\x00",
        KEY.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1),
    ],
)
def test_what_is_no_subject_public_key_info_is_refused(der: bytes) -> None:
    with pytest.raises(PublicKeyError, match=r"^holds no SubjectPublicKeyInfo in DER$"):
        der_of_pem(pem_of(der))


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_whatever_is_changed_in_a_key_there_is_no_other_error(place: int, change: int) -> None:
    changed = bytearray(DER)
    changed[place] ^= change
    try:
        assert der_of_pem(pem_of(bytes(changed))) == changed
    except PublicKeyError:
        # Then nobody else takes it for a key either.
        with pytest.raises(Exception):  # noqa: B017 - whatever it raises, it is no key to it.
            load_der_public_key(bytes(changed))


@given(st.text(max_size=60) | st.binary(max_size=60).map(pem_of))
def test_garbage_has_no_other_error(text: str) -> None:
    with suppress(PublicKeyError):
        der_of_pem(text)
