from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from hashlib import sha384
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclaver.core.errors import EnclaverError
from enclaver.system import kms as system
from enclaver.system.kms import KmsKey
from tests.certificates import ec_key, rsa_key
from tests.fake_kms import FakeKms
from tests.fake_kms_keys import FakeSigningKey
from tests.kms_signing import ACCESS_KEY, ARN, REGION, SECRET_KEY, TOKEN, kms_for_boto3

DIGEST = sha384(b"image").digest()
KEY = ec_key(ec.SECP384R1())


@pytest.fixture
def kms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKms]:
    with kms_for_boto3(tmp_path) as (kms, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        kms.signing[ARN] = FakeSigningKey(KEY)
        yield kms


def refused(call: str = "public_key", arn: str = ARN) -> EnclaverError:
    key = KmsKey(arn, REGION)
    with pytest.raises(EnclaverError) as caught:
        key.public_key() if call == "public_key" else getattr(key, call)(DIGEST)
    assert (caught.value.file, bool(caught.value.cure)) == (arn, True)
    for secret in (ACCESS_KEY, SECRET_KEY, TOKEN):
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.slow
def test_the_public_key_and_a_signature(kms: FakeKms) -> None:
    key = KmsKey(ARN, REGION)
    assert key.public_key() == KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key.check_access(DIGEST)
    KEY.public_key().verify(key.sign(DIGEST), DIGEST, ec.ECDSA(Prehashed(hashes.SHA384())))
    assert [(action, document.get("DryRun")) for action, document in kms.calls] == [
        ("GetPublicKey", None),
        ("Sign", True),
        ("Sign", None),
    ]
    _, request = kms.calls[-1]
    assert (request["KeyId"], request["MessageType"], request["SigningAlgorithm"]) == (ARN, "DIGEST", "ECDSA_SHA_384")


@pytest.mark.slow
def test_a_service_that_knows_no_dry_run_is_taken_at_its_word(kms: FakeKms) -> None:
    kms.signing[ARN].knows_dry_run = False
    KmsKey(ARN, REGION).check_access(DIGEST)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "usage", "what"),
    [
        (rsa_key(), "SIGN_VERIFY", "the key's spec is RSA_2048, and images are signed with ECC_NIST_P256"),
        (ec_key(ec.SECP256K1()), "SIGN_VERIFY", "the key's spec is ECC_SECG_P256K1"),
        (KEY, "KEY_AGREEMENT", "the key's usage is KEY_AGREEMENT, not SIGN_VERIFY"),
    ],
)
def test_keys_of_another_kind(kms: FakeKms, key: ec.EllipticCurvePrivateKey, usage: str, what: str) -> None:
    kms.signing[ARN] = FakeSigningKey(key, usage)
    assert refused().what.startswith(what)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("AccessDeniedException", "access denied: User: me is not authorized"),
        ("DisabledException", "the key is disabled"),
        ("KMSInvalidStateException", "the key is in no state to sign"),
        ("InvalidKeyUsageException", "the key is not for signing"),
        ("ExpiredTokenException", "KMS does not accept the AWS credentials (ExpiredTokenException)"),
        ("SomethingNewException", "KMS refuses (SomethingNewException)"),
    ],
)
@pytest.mark.parametrize("call", ["public_key", "check_access", "sign"])
def test_what_kms_refuses(kms: FakeKms, call: str, code: str, what: str) -> None:
    action = {"public_key": "GetPublicKey", "check_access": "DryRun", "sign": "Sign"}[call]
    kms.signing[ARN].refusals[action] = (code, f"User: me is not\x1b[2J authorized {'x' * 1000}")
    said = refused(call)
    assert said.what.startswith(what.replace("is not authorized", "is not[2J authorized"))
    assert len(said.what) < 500
    assert said.what.isprintable()


@pytest.mark.slow
def test_a_key_that_is_not_there(kms: FakeKms) -> None:
    assert refused(arn=ARN.replace("1234abcd", "00000000")).what == "there is no such key"


@pytest.mark.slow
def test_credentials(kms: FakeKms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    said = refused()
    assert said.what == "KMS does not accept the AWS credentials (InvalidSignatureException)"
    assert "another-secret" not in str(said)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert refused().what == "there are no AWS credentials to ask KMS with"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert refused().what == "the profile that AWS_PROFILE names is not configured"


@pytest.mark.slow
def test_credentials_that_cannot_be_fetched(kms: FakeKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "no-config").write_text(
        "[profile broken]\ncredential_process = /bin/sh -c 'echo a-secret >&2; exit 1'\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "broken")
    said = refused()
    assert said.what == "KMS cannot be asked (CredentialRetrievalError)"
    assert "a-secret" not in str(said)


@pytest.mark.slow
def test_endpoints(kms: FakeKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = os.environ["AWS_ENDPOINT_URL_KMS"]
    monkeypatch.setattr(system, "ATTEMPTS", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"https://localhost:{closed.getsockname()[1]}")
        assert refused().what == "KMS cannot be reached"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(system, "READ_TIMEOUT", 0.3)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://localhost:{silent.getsockname()[1]}")
        assert refused().what == "KMS did not answer in time"
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "no url")
    assert refused().what == "KMS cannot be asked (ValueError)"
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", good)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    assert refused().what == "KMS's TLS certificate is not to be trusted"


@pytest.mark.slow
def test_an_answer_without_what_was_asked_for(kms: FakeKms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeSigningKey, "answer", lambda *_: (200, {"KeySpec": "ECC_NIST_P384", "KeyUsage": "SIGN_VERIFY"})
    )
    assert refused().what == "KMS's answer lacks what was asked for"
    assert refused("sign").what == "KMS's answer lacks what was asked for"
