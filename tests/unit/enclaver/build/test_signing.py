from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha384
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclaver.build.signing import load
from enclaver.core.eif.signature import parse_signature
from enclaver.core.eif.signing import Signer
from enclaver.core.eif.signing_identity import MAX_SIZE
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.problems import ManifestError
from tests.certificates import ec_key, encrypted_pem, key_pem, rsa_key, self_signed
from tests.fake_kms import FakeKms
from tests.fake_kms_keys import FakeSigningKey
from tests.kms_signing import ARN, SECRET_KEY, TOKEN, kms_for_boto3

PCR0 = sha384(b"image").digest()
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HEAD = "version: v1\nname: n\ntarget: a:b\nsources: {app: ':a'}\n"
SIGNED = HEAD + "signature:\n  certificate: cert.pem\n  key: key.pem\n"
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


def manifest(folder: Path, text: str = SIGNED) -> Manifest:
    return parse(text.encode(), str(folder / "enclaver.yaml"))


def write(folder: Path, certificate: bytes, key: bytes) -> None:
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)


def loaded(folder: Path, key: str | None = None) -> Signer:
    return load(manifest(folder), folder / "cert.pem", key or str(folder / "key.pem"), now=NOW)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_a_key_in_a_file_signs_the_same_each_time(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    key = ec_key(curve)
    write(tmp_path, self_signed(key), key_pem(key))
    one, other = loaded(tmp_path), loaded(tmp_path)
    section = one.section(PCR0)
    assert section == other.section(PCR0)
    found = parse_signature(section)
    assert (found.algorithm, found.problem(PCR0)) == (one.algorithm.name, None)
    assert found.certificate.public_bytes(Encoding.PEM) == (tmp_path / "cert.pem").read_bytes()


def test_what_stands_beside_the_certificate_changes_nothing(tmp_path: Path) -> None:
    key = ec_key()
    write(tmp_path, self_signed(key), key_pem(key))
    before = loaded(tmp_path).section(PCR0)
    write(tmp_path, b"# renewed\r\n" + (tmp_path / "cert.pem").read_bytes().replace(b"\n", b"\r\n"), key_pem(key))
    assert loaded(tmp_path).section(PCR0) == before


def refused(folder: Path, key: str | None = None) -> str:
    with pytest.raises(ManifestError) as caught:
        loaded(folder, key)
    return str(caught.value)


KEY = ec_key()
CERTIFICATE = self_signed(KEY)
EXPIRED = self_signed(KEY, first=datetime(2020, 1, 1, tzinfo=UTC), last=datetime(2021, 1, 1, tzinfo=UTC))
FUTURE = self_signed(KEY, first=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("certificate", "key", "line", "what"),
    [
        (EXPIRED, key_pem(KEY), "6:3: `signature.certificate`", "cert.pem: line 1: the certificate has expired"),
        (FUTURE, key_pem(KEY), "6:3: `signature.certificate`", "cert.pem: line 1: the certificate is not valid before"),
        (CERTIFICATE, key_pem(ec_key()), "7:3: `signature.key`", "key.pem: the key is not that of the signing"),
        (CERTIFICATE, key_pem(ec_key(CURVES[1])), "7:3: `signature.key`", "key.pem: the key is not that of the sig"),
        (self_signed(rsa_key()), key_pem(rsa_key()), "6:3: `signature.certificate`", "the key is of the kind RSA"),
        (CERTIFICATE, key_pem(rsa_key()), "7:3: `signature.key`", "key.pem: line 1: the key is of the kind RSA"),
        (CERTIFICATE, encrypted_pem(KEY), "7:3: `signature.key`", "key.pem: line 1: the private key is encrypted"),
        (b"garbage", key_pem(KEY), "6:3: `signature.certificate`", "cert.pem: holds no certificate in PEM"),
        (CERTIFICATE, b"garbage", "7:3: `signature.key`", "key.pem: holds no private key in PEM"),
        (CERTIFICATE, bytes(MAX_SIZE + 1), "7:3: `signature.key`", "key.pem: is larger than 24 KiB"),
    ],
    ids=range(10),
)
def test_what_is_unfit_is_refused_at_the_manifests_line(
    tmp_path: Path, certificate: bytes, key: bytes, line: str, what: str
) -> None:
    write(tmp_path, certificate, key)
    said = refused(tmp_path)
    assert said.startswith(f"{tmp_path}/enclaver.yaml:{line}: ")
    assert what in said.splitlines()[0]
    for secret in key_pem(KEY).decode().splitlines()[1:-1]:
        assert secret not in said


def test_what_is_missing_is_told_together(tmp_path: Path) -> None:
    said = refused(tmp_path)
    for line, name, key in ((6, "cert.pem", "certificate"), (7, "key.pem", "key")):
        assert f"enclaver.yaml:{line}:3: `signature.{key}`: {tmp_path}/{name}: cannot read: No such file" in said


def test_a_malformed_arn_is_no_file(tmp_path: Path) -> None:
    write(tmp_path, CERTIFICATE, b"")
    assert "`signature.key`: `arn:aws:s3:::x` is not the ARN of a KMS key" in refused(tmp_path, "arn:aws:s3:::x")


def test_a_manifest_without_a_signature_is_not_signed(tmp_path: Path) -> None:
    write(tmp_path, CERTIFICATE, key_pem(KEY))
    with pytest.raises(ManifestError, match="has no `signature`, and one is to be made"):
        load(manifest(tmp_path, HEAD), tmp_path / "cert.pem", str(tmp_path / "key.pem"), now=NOW)


@pytest.fixture
def kms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKms]:
    (tmp_path / "aws").mkdir()
    with kms_for_boto3(tmp_path / "aws") as (kms, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield kms


@pytest.mark.slow
@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_a_key_in_kms(tmp_path: Path, kms: FakeKms, curve: ec.EllipticCurve) -> None:
    key = ec_key(curve)
    kms.signing[ARN] = FakeSigningKey(key)
    (tmp_path / "cert.pem").write_bytes(self_signed(key))
    signer = loaded(tmp_path, ARN)
    # Before anything is built KMS was asked whether it would sign, and it has not.
    assert [(action, document.get("DryRun")) for action, document in kms.calls] == [
        ("GetPublicKey", None),
        ("Sign", True),
    ]
    assert parse_signature(signer.section(PCR0)).problem(PCR0) is None
    assert len(kms.calls) == 3


@pytest.mark.slow
def test_what_kms_refuses_is_told_at_the_manifests_line(tmp_path: Path, kms: FakeKms) -> None:
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE)
    kms.signing[ARN] = FakeSigningKey(ec_key())
    assert f"7:3: `signature.key`: {ARN}: the key is not that of the signing certificate" in refused(tmp_path, ARN)
    kms.signing[ARN] = FakeSigningKey(KEY, refusals={"DryRun": ("AccessDeniedException", "no kms:Sign for you")})
    said = refused(tmp_path, ARN)
    assert f"7:3: `signature.key`: {ARN}: access denied: no kms:Sign for you" in said
    assert SECRET_KEY not in said
    assert TOKEN not in said
    kms.signing[ARN] = FakeSigningKey(rsa_key())
    assert "the key's spec is RSA_2048" in refused(tmp_path, ARN)


@pytest.mark.slow
def test_a_kms_that_answers_nonsense(tmp_path: Path, kms: FakeKms, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE)
    answers = {"PublicKey": "AAAA", "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "Signature": "AAAA"}
    kms.signing[ARN] = FakeSigningKey(KEY)
    signer = loaded(tmp_path, ARN)
    monkeypatch.setattr(FakeSigningKey, "answer", lambda *_: (200, answers))
    with pytest.raises(EnclaverError, match="what it made is no signature of its kind"):
        signer.section(PCR0)
    assert "KMS's public key cannot be read" in refused(tmp_path, ARN)
    spki = rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    answers["PublicKey"] = base64.b64encode(spki).decode()
    assert "KMS's public key is not of the kind that KMS says" in refused(tmp_path, ARN)
