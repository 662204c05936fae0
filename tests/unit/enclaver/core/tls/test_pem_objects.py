"""What both of its users share; what they refuse in their own words is in their tests."""

from __future__ import annotations

from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.tls.pem import Block, blocks
from enclaver.core.tls.pem_objects import instead, load_certificate, load_private_key, spki
from tests.certificates import ec_key, encrypted_pem, key_pem, self_signed

KEY = ec_key(ec.SECP384R1())
CERTIFICATE = self_signed(KEY)


def load(text: bytes) -> object:
    """Read a private key, whose block has to be the whole text."""
    block, key = load_private_key(text, encrypted="nobody is asked", decrypt="Decrypt it.", known="Use P-384.")
    assert block.canonical == text
    return key


def test_a_certificate_and_its_key() -> None:
    certificate = load_certificate(blocks(CERTIFICATE)[0])
    for text in (key_pem(KEY), key_pem(KEY, PrivateFormat.TraditionalOpenSSL)):
        key = load(text)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert spki(key.public_key()) == spki(certificate.public_key())
    assert spki(ec_key().public_key()) != spki(certificate.public_key())


@pytest.mark.parametrize(
    ("text", "what", "cure"),
    [
        (b"", "holds no private key in PEM", "Write it as PEM: `openssl pkey -in OLD -out NEW`."),
        (CERTIFICATE, "holds no private key, only CERTIFICATE", "Write it as PEM: `openssl pkey -in OLD -out NEW`."),
        (2 * key_pem(KEY), "holds a second private key", "Leave the certificate's own, and remove the other."),
        (encrypted_pem(KEY), "the private key is encrypted, and nobody is asked", "Decrypt it."),
        (key_pem(KEY).replace(b"MIG", b"MIH", 1), "the private key cannot be read: it is damaged or", "Use P-384."),
    ],
)
def test_keys_that_are_none(text: bytes, what: str, cure: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        load(text)
    assert caught.value.what.startswith(what)
    assert caught.value.cure == cure
    assert caught.value.__cause__ is None


def test_what_is_there_instead_is_named_once_and_in_order() -> None:
    assert instead([]) == " in PEM"
    assert instead(blocks(key_pem(KEY) + 2 * CERTIFICATE)) == ", only CERTIFICATE, PRIVATE KEY"


def test_kinds_of_keys_are_the_users_matter() -> None:
    assert isinstance(load(key_pem(ed25519.Ed25519PrivateKey.generate())), ed25519.Ed25519PrivateKey)


def test_a_certificate_of_a_version_that_there_is_not() -> None:
    data = bytearray(blocks(CERTIFICATE)[0].data)
    # The version, of which 2 is the third and last.
    data[data.index(bytes.fromhex("a003020102")) + 4] = 3
    with pytest.raises(EnclaverError, match="the certificate cannot be read: it is damaged or of an unknown kind"):
        load_certificate(Block("CERTIFICATE", 1, encrypted=False, data=bytes(data)))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(EnclaverError, match="the certificate cannot be read"):
        load_certificate(Block("CERTIFICATE", 1, encrypted=False, data=data))


@pytest.mark.slow
@given(st.data())
def test_damage_is_refused_or_can_be_asked_for_all_the_same(data: st.DataObject) -> None:
    raw = bytearray(blocks(CERTIFICATE)[0].data)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(EnclaverError):
        found = load_certificate(Block("CERTIFICATE", 1, encrypted=False, data=bytes(raw)))
        assert found.not_valid_before_utc.tzinfo
        assert spki(found.public_key())
