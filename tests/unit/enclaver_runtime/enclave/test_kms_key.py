"""Opening what KMS encrypts: messages of the tests' own writer, and of OpenSSL."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from trio.testing import trio_test

from enclaver_runtime.enclave.kms_key import KmsKey, OpenError
from enclaver_runtime.protocol.cms import CmsError
from tests.certificates import ec_key
from tests.cms_messages import Wrap, definite, indefinite, layout, seal

OPENSSL = shutil.which("openssl")


@pytest.fixture(scope="module")
def key() -> KmsKey:
    return KmsKey()


def public(key: KmsKey) -> bytes:
    return trio.run(key.public_key)


def opened(key: KmsKey, message: bytes) -> bytes:
    return trio.run(key.open, message)


def test_the_key_is_what_kms_and_the_module_take(key: KmsKey) -> None:
    der = public(key)
    made = load_der_public_key(der)
    assert isinstance(made, RSAPublicKey)
    assert (made.key_size, made.public_numbers().e) == (2048, 65537)
    assert len(der) <= 1024


@trio_test
async def test_first_calls_at_once_get_the_same_key() -> None:
    key, found = KmsKey(), set()

    async def ask() -> None:
        found.add(await key.public_key())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert len(found) == 1


@pytest.mark.parametrize("wrap", [definite, indefinite])
@pytest.mark.parametrize("piece", [None, 16, 1000])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 32, 3000])
def test_a_secret_is_opened_whatever_form_it_comes_in(key: KmsKey, wrap: Wrap, piece: int | None, size: int) -> None:
    secret = os.urandom(size)
    assert opened(key, seal(secret, public(key), wrap=wrap, piece=piece)) == secret


def certificate(key: RSAPublicKey) -> bytes:
    """What the command takes for a recipient, whoever has signed it: for -keyid, it has the key's identifier."""
    name, signer = x509.Name([]), ec_key()
    first, last = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key, x509.random_serial_number(), first, last)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(b"k" * 32), critical=False)
    return builder.sign(signer, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.skipif(OPENSSL is None, reason="takes the openssl command")
def test_openssls_messages_are_opened_too(key: KmsKey, tmp_path: Path, stream: bool) -> None:
    made = load_der_public_key(public(key))
    assert isinstance(made, RSAPublicKey)
    (tmp_path / "key.pem").write_bytes(certificate(made))
    (tmp_path / "secret").write_bytes(b"a secret of OpenSSL's")
    command = [str(OPENSSL), "cms", "-encrypt", "-binary", "-aes-256-cbc", "-in", "secret", "-outform", "DER", "-keyid"]
    command += [*(["-stream"] if stream else []), "-out", "message", "-recip", "key.pem"]
    command += ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"]
    subprocess.run(command, check=True, cwd=tmp_path)
    message = (tmp_path / "message").read_bytes()
    assert (b"\x30\x80" in message) is stream
    assert opened(key, message) == b"a secret of OpenSSL's"


def sealed_key(key: KmsKey, content_key: bytes, oaep: padding.AsymmetricPadding) -> bytes:
    made = load_der_public_key(public(key))
    assert isinstance(made, RSAPublicKey)
    return made.encrypt(content_key, oaep)


OAEP = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


def test_whatever_is_wrong_inside_there_is_one_error(key: KmsKey) -> None:
    other = KmsKey()
    good = sealed_key(key, b"k" * 32, OAEP)
    wrong = {
        "another enclave's": seal(b"secret", public(other)),
        "a key of another length": layout(sealed_key(key, b"k" * 16, OAEP), b"i" * 16, b"c" * 32),
        "another hash": layout(
            sealed_key(key, b"k" * 32, padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)), b"i" * 16, b"c" * 32
        ),
        "an old padding": layout(sealed_key(key, b"k" * 32, padding.PKCS1v15()), b"i" * 16, b"c" * 32),
        "no padding of the content": layout(good, b"i" * 16, b"c" * 32),
        "a short key": layout(good[:-1], b"i" * 16, b"c" * 32),
        "a long key": layout(good + b"x", b"i" * 16, b"c" * 32),
        "no key": layout(b"", b"i" * 16, b"c" * 32),
        "a number too large": layout(b"\xff" * 256, b"i" * 16, b"c" * 32),
    }
    told = set()
    for name, message in wrong.items():
        with pytest.raises(OpenError) as caught:
            opened(key, message)
        told.add((str(caught.value), caught.value.__cause__))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None, name
    assert told == {("CiphertextForRecipient cannot be opened with this enclave's key", None)}


def test_what_is_no_message_is_another_matter(key: KmsKey) -> None:
    with pytest.raises(CmsError):
        opened(key, b"secret")
