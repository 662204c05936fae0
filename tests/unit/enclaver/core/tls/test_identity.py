from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from enclaver.core.errors import EnclaverError
from enclaver.core.tls.identity import check_match, read_chain, read_key
from tests.certificates import Authority, PrivateKey, ec_key, encrypted_pem, key_pem, rsa_key

AUTHORITY = Authority()
RSA_AUTHORITY = Authority(key=rsa_key())
PKCS8, TRADITIONAL = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
SOUND: dict[str, tuple[PrivateKey, PrivateFormat]] = {
    "rsa": (rsa_key(), PKCS8),
    "rsa, traditional": (rsa_key(), TRADITIONAL),
    "p256": (ec_key(), PKCS8),
    "p384": (ec_key(ec.SECP384R1()), PKCS8),
    "p521, traditional": (ec_key(ec.SECP521R1()), TRADITIONAL),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), PKCS8),
}


def refused(text: bytes, *, key: bool) -> EnclaverError:
    with pytest.raises(EnclaverError) as caught:
        (read_key if key else read_chain)(text)
    assert "\n" not in caught.value.what
    return caught.value


@pytest.mark.parametrize("kind", SOUND)
def test_sound_identities_are_read_and_openssl_takes_what_comes_out(kind: str, tmp_path: Path) -> None:
    private, form = SOUND[kind]
    certificate = AUTHORITY.certificate(private)
    chain = read_chain(b"# The server's\r\n" + certificate.replace(b"\n", b"\r\n") + AUTHORITY.pem)
    key = read_key(b"-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n" + key_pem(private, form))
    check_match(chain, key)
    assert [one.line for one in chain] == [2, len(certificate.splitlines()) + 2]
    assert [one.pem for one in chain] == [certificate, AUTHORITY.pem]
    assert key.pem == key_pem(private, form)
    (tmp_path / "cert.pem").write_bytes(b"".join(one.pem for one in chain))
    (tmp_path / "key.pem").write_bytes(key.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_one_file_may_hold_both() -> None:
    both = AUTHORITY.identity()
    chain, key = read_chain(both.key + both.chain), read_key(both.chain + both.key)
    check_match(chain, key)
    assert (b"".join(one.pem for one in chain), key.pem) == (both.chain, both.key)


def test_a_key_shows_in_no_representation() -> None:
    key = read_key(key_pem(rsa_key()))
    assert "PRIVATE" not in repr(key)


def other(key: dsa.DSAPrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PKCS8, NoEncryption())


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


UNFIT_KEYS = {
    "empty": (b"", "holds no private key in PEM"),
    "der": (rsa_key().private_bytes(Encoding.DER, PKCS8, NoEncryption()), "holds no private key in PEM"),
    "a certificate": (AUTHORITY.pem, "holds no private key, only CERTIFICATE"),
    "a public key": (public(ec_key()), "holds no private key, only PUBLIC KEY"),
    "two": (key_pem(ec_key()) + key_pem(ec_key()), "a second private key"),
    "encrypted": (encrypted_pem(rsa_key()), "the private key is encrypted"),
    "encrypted, traditional": (encrypted_pem(rsa_key(), TRADITIONAL), "the private key is encrypted"),
    "damaged": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged or of an unknown kind"),
    "another's label": (key_pem(ec_key()).replace(b"PRIVATE", b"RSA PRIVATE"), "damaged or of an unknown kind"),
    "rsa 1024": (key_pem(rsa_key(1024)), "RSA of 1024 bits"),
    "secp256k1": (key_pem(ec_key(ec.SECP256K1())), "of the curve secp256k1"),
    "ed448": (other(ed448.Ed448PrivateKey.generate()), "of a kind that no TLS client knows"),
    "dsa": (other(dsa.generate_private_key(1024)), "of a kind that no TLS client knows"),
}


@pytest.mark.parametrize("kind", UNFIT_KEYS)
def test_unfit_keys_are_refused_with_a_cure(kind: str) -> None:
    text, what = UNFIT_KEYS[kind]
    error = refused(text, key=True)
    assert what in error.what
    assert error.cure
    assert error.__cause__ is None


def with_other_bytes(pem: bytes, place: int) -> bytes:
    data = bytearray(ssl.PEM_cert_to_DER_cert(pem.decode()))
    data[place] ^= 0xFF
    return ssl.DER_cert_to_PEM_cert(bytes(data)).encode()


def with_sha1(pem: bytes) -> bytes:
    """Say that a certificate was signed by RSA with SHA-1: nobody makes such any more, nor checks who signed here."""
    data = ssl.PEM_cert_to_DER_cert(pem.decode())
    sha256_with_rsa = bytes.fromhex("2a864886f70d01010b")
    assert data.count(sha256_with_rsa) == 2
    return ssl.DER_cert_to_PEM_cert(data.replace(sha256_with_rsa, sha256_with_rsa[:-1] + b"\x05")).encode()


UNFIT_CHAINS = {
    "empty": (b"", "holds no certificate in PEM"),
    "a key": (key_pem(ec_key()), "holds no certificate, only PRIVATE KEY"),
    "damaged": (with_other_bytes(AUTHORITY.pem, 0), "the certificate cannot be read"),
    "damaged, second": (AUTHORITY.pem + with_other_bytes(AUTHORITY.pem, 4), "the certificate cannot be read"),
    "rsa 1024": (AUTHORITY.certificate(rsa_key(1024)), "RSA of 1024 bits"),
    "sha1": (with_sha1(RSA_AUTHORITY.certificate(ec_key())), "signed with SHA1"),
}


@pytest.mark.parametrize("kind", UNFIT_CHAINS)
def test_unfit_chains_are_refused(kind: str) -> None:
    text, what = UNFIT_CHAINS[kind]
    error = refused(text, key=False)
    assert what in error.what
    assert error.cure


@pytest.mark.parametrize("kind", ["rsa 1024", "sha1"])
def test_openssl_would_refuse_them_too(kind: str, tmp_path: Path) -> None:
    private = rsa_key(1024) if kind == "rsa 1024" else ec_key()
    certificate = RSA_AUTHORITY.certificate(private)
    (tmp_path / "cert.pem").write_bytes(certificate if kind == "rsa 1024" else with_sha1(certificate))
    (tmp_path / "key.pem").write_bytes(key_pem(private))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=2")
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_a_roots_signature_of_itself_may_be_old() -> None:
    assert len(read_chain(RSA_AUTHORITY.certificate(ec_key()) + with_sha1(RSA_AUTHORITY.pem))) == 2


def test_a_key_that_is_anothers_is_refused_at_the_certificates_line() -> None:
    mine, others = AUTHORITY.identity(), AUTHORITY.identity()
    with pytest.raises(EnclaverError, match="not that of the private key") as caught:
        check_match(read_chain(b"\n" + mine.chain), read_key(others.key))
    assert caught.value.place == "line 2"


def test_a_chain_in_the_wrong_order_is_refused_with_the_line_that_belongs_first() -> None:
    private = ec_key()
    text = AUTHORITY.pem + AUTHORITY.certificate(private)
    with pytest.raises(EnclaverError, match=rf"that of line {len(AUTHORITY.pem.splitlines()) + 1}\n"):
        check_match(read_chain(text), read_key(key_pem(private)))
