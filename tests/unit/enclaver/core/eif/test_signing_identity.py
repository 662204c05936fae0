from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.eif.signing_identity import check_match, read_certificate, read_private_key
from enclaver.core.errors import EnclaverError
from tests.certificates import PrivateKey, ec_key, encrypted_pem, key_pem, rsa_key, self_signed

KEY = ec_key(ec.SECP384R1())
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
CERTIFICATE = self_signed(KEY, first=FIRST, last=LAST)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OPENSSL = PrivateFormat.TraditionalOpenSSL
OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_each_curve_in_each_form(curve: ec.EllipticCurve) -> None:
    key = ec_key(curve)
    certificate = read_certificate(b"Bag Attributes\r\n" + self_signed(key).replace(b"\n", b"\r\n"), NOW)
    # `openssl ecparam -genkey` writes the curve in a block of its own.
    for text in (key_pem(key), key_pem(key, OPENSSL), PARAMETERS + key_pem(key, OPENSSL)):
        check_match(certificate, read_private_key(text).public_key())
    with pytest.raises(EnclaverError, match="the key is not that of the signing certificate"):
        check_match(certificate, ec_key(curve).public_key())


def test_a_certificate_is_valid_from_its_first_second_to_its_last() -> None:
    for now in (FIRST, LAST):
        assert read_certificate(CERTIFICATE, now).not_valid_after_utc == LAST
    with pytest.raises(EnclaverError, match="not valid before 2026-01-01 00:00:00 UTC") as early:
        read_certificate(CERTIFICATE, FIRST - SECOND)
    with pytest.raises(EnclaverError, match="has expired: it was valid until 2026-12-31 23:59:59 UTC") as late:
        read_certificate(CERTIFICATE, LAST + SECOND)
    assert "clock" in str(early.value.cure)
    assert "PCR8 changes" in str(late.value.cure)


DAMAGED = CERTIFICATE.replace(b"MII", b"MIJ", 1)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (b"", None, "holds no certificate in PEM"),
        (PARAMETERS, None, "holds no certificate, only EC PARAMETERS"),
        (b"\x00\x01" * 50, None, "holds no certificate in PEM"),
        (CERTIFICATE + CERTIFICATE, "line 11", "holds 2 certificates, and an image is signed with one"),
        (CERTIFICATE + key_pem(KEY), "line 11", "holds a private key beside the certificate"),
        (encrypted_pem(KEY), "line 1", "holds a private key beside the certificate"),
        (CERTIFICATE + OPENSSH, "line 11", "holds a private key beside the certificate"),
        (DAMAGED, "line 1", "the certificate cannot be read: it is damaged"),
        (CERTIFICATE[:-30], "line 1", "the CERTIFICATE has no end"),
        (self_signed(rsa_key()), "line 1", "the key is of the kind RSA, and images are signed with elliptic curves"),
        (self_signed(ed25519.Ed25519PrivateKey.generate()), "line 1", "the key is of the kind Ed25519"),
        (self_signed(ec_key(ec.SECP256K1())), "line 1", "the key is of the curve secp256k1"),
    ],
    ids=range(12),
)
def test_certificates_that_are_unfit(text: bytes, place: str | None, what: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        read_certificate(text, NOW)
    assert caught.value.what.startswith(what)
    if place != "line 11":  # Certificates are not all of one length.
        assert caught.value.place == place
    assert caught.value.cure


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "holds no private key in PEM"),
        (CERTIFICATE, "holds no private key, only CERTIFICATE"),
        (key_pem(KEY) + key_pem(ec_key()), "holds a second private key"),
        (encrypted_pem(KEY), "the private key is encrypted, and a build asks nobody"),
        (encrypted_pem(KEY, OPENSSL), "the private key is encrypted, and a build asks nobody"),
        (key_pem(KEY).replace(b"MIG", b"MIH", 1), "the private key cannot be read: it is damaged"),
        (key_pem(rsa_key()), "the key is of the kind RSA"),
        (key_pem(rsa_key(), OPENSSL), "the key is of the kind RSA"),
        (key_pem(ed25519.Ed25519PrivateKey.generate()), "the key is of the kind Ed25519"),
        (key_pem(ec_key(ec.SECP256K1())), "the key is of the curve secp256k1"),
    ],
    ids=range(10),
)
def test_keys_that_are_unfit(text: bytes, what: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        read_private_key(text)
    assert caught.value.what.startswith(what)
    assert caught.value.cure
    assert_nothing_shows(text, caught.value)


def assert_nothing_shows(text: bytes, error: EnclaverError) -> None:
    """No line of a key is in a message, nor in what a traceback would show."""
    assert error.__cause__ is None
    for line in text.decode().splitlines():
        if line and not line.startswith("-"):
            assert line not in f"{error} {error!r}"


@contextmanager
def no_cause() -> Iterator[None]:
    """What is refused in here is refused without an error of another library's behind it."""
    try:
        yield
    except EnclaverError as error:
        if error.__cause__ is not None:
            raise AssertionError("a cause could tell of a key") from error
        raise


@pytest.mark.slow
@given(st.data(), st.sampled_from([KEY, rsa_key()]))
def test_damaged_keys_are_refused_without_a_word_of_them(data: st.DataObject, key: PrivateKey) -> None:
    text = bytearray(key_pem(key))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(EnclaverError), no_cause():
        read_private_key(bytes(text))


@pytest.mark.slow
@given(st.data())
def test_damaged_certificates_are_refused(data: st.DataObject) -> None:
    text = bytearray(CERTIFICATE)
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(EnclaverError):
        read_certificate(bytes(text), NOW)
