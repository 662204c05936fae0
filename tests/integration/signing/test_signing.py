"""Signed images as AWS's own tools see them, with keys made by OpenSSL and a key in KMS."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from shlex import split

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from enclaver.build.describe import describe
from tests.certificates import Authority, ec_key, encrypted_pem, key_pem, rsa_key, self_signed
from tests.fake_kms_keys import FakeSigningKey
from tests.integration.signing.signed import Parts, built_by_aws, described, make_parts, recorded
from tests.integration.tools import require
from tests.kms_signing import ACCESS_KEY, ARN, SECRET_KEY, TOKEN, kms_for_boto3

pytestmark = pytest.mark.slow

# As docs/signing.md has it.
MAKE_KEY = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out {key}"
MAKE_CERTIFICATE = (
    "openssl req -x509 -new -key {key} -sha384 -days 365 -subj '/CN=Enclaves of Example' -out {certificate}"
)
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


def by_openssl(folder: Path, curve: str) -> tuple[Parts, Path]:
    """The parts of an image, with a certificate and a key as users make them; the key is in a folder of its own."""
    require("openssl")
    key, certificate = folder / "elsewhere" / "key.pem", folder / "parts" / "certificate.pem"
    for path in (key, certificate):
        path.parent.mkdir()
    for command in (MAKE_KEY, MAKE_CERTIFICATE):
        subprocess.run(
            split(command.format(curve=curve, key=key, certificate=certificate)), check=True, capture_output=True
        )
    return make_parts(folder / "parts", key), key


@pytest.fixture(params=CURVES)
def curve(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_nitro_cli_finds_the_signature_sound_and_eif_build_measures_the_same(tmp_path: Path, curve: str) -> None:
    parts, key = by_openssl(tmp_path, curve)
    assert parts.check().returncode == 0
    eif = parts.image()
    seen = described(eif, tmp_path)
    assert (seen["CheckCRC"], seen["IsSigned"], seen["SignatureCheck"]) == (True, True, True)
    registers = recorded(eif)
    assert list(registers) == ["PCR0", "PCR1", "PCR2", "PCR8"]
    assert {name: seen["Measurements"][name] for name in registers} == registers
    assert built_by_aws(parts, tmp_path / "theirs.eif", key) == registers
    ours, theirs = describe(eif), describe(tmp_path / "theirs.eif")
    assert ours["measurements"] == theirs["measurements"] == registers
    assert ours["signature"] == theirs["signature"]
    assert ours["signature"]["algorithm"] == CURVES[curve]
    assert ours["signature"]["verified"] is True
    # What AWS's tools take from the section is the same too, but for the signature's own random number.
    sizes = [section["size"] for section in ours["sections"] if section["type"] == "signature"]
    assert len(sizes) == 1
    assert [section["type"] for section in ours["sections"]] == [section["type"] for section in theirs["sections"]]
    assert described(tmp_path / "theirs.eif", tmp_path)["SigningCertificate"] == seen["SigningCertificate"]


def test_the_same_key_gives_the_same_bytes_and_leaves_no_trace(tmp_path: Path, curve: str) -> None:
    parts, key = by_openssl(tmp_path, curve)
    one, two = parts.image("one"), parts.image("two")
    assert one.read_bytes() == two.read_bytes()
    materials = one.with_suffix(".materials.json").read_bytes()
    assert materials == two.with_suffix(".materials.json").read_bytes()
    der = x509.load_pem_x509_certificate((parts.folder / "certificate.pem").read_bytes()).public_bytes(Encoding.DER)
    (named,) = (item for item in json.loads(materials)["inputs"] if item["kind"] == "certificate")
    assert (named["name"], named["sha256"]) == ("CN=Enclaves of Example", sha256(der).hexdigest())
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    number = private.private_numbers().private_value
    secret = number.to_bytes((private.key_size + 7) // 8, "big")
    for path in parts.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret not in content
            assert secret.hex().encode() not in content
            assert b"PRIVATE KEY" not in content


def test_a_signature_changes_no_register_but_pcr8(tmp_path: Path) -> None:
    parts, _ = by_openssl(tmp_path, "P-384")
    signed = recorded(parts.image())
    unsigned = make_parts(tmp_path / "unsigned", None).image()
    assert {**recorded(unsigned), "PCR8": signed["PCR8"]} == signed
    assert described(unsigned, tmp_path)["IsSigned"] is False


def test_a_renewed_certificate_is_another_pcr8(tmp_path: Path) -> None:
    parts, key = by_openssl(tmp_path, "P-384")
    before = recorded(parts.image())
    certificate = parts.folder / "certificate.pem"
    subprocess.run(split(MAKE_CERTIFICATE.format(key=key, certificate=certificate)), check=True, capture_output=True)
    after = recorded(parts.image())
    assert before["PCR8"] != after["PCR8"]
    assert {**before, "PCR8": ""} == {**after, "PCR8": ""}


@pytest.mark.parametrize("key", [ec_key(), ec_key(ec.SECP384R1()), ec_key(ec.SECP521R1())], ids=CURVES)
def test_a_key_in_kms(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    folder = tmp_path / "aws"
    folder.mkdir()
    parts = make_parts(tmp_path / "parts", ARN)
    (parts.folder / "certificate.pem").write_bytes(self_signed(key))
    with kms_for_boto3(folder) as (kms, environment):
        kms.signing[ARN] = FakeSigningKey(key)
        assert parts.check(environment).returncode == 0
        eif = parts.image(environment=environment)
        again = parts.image("again", environment=environment)
        assert [action for action, _ in kms.calls].count("Sign") == 5  # Two of them sign, the others ask.
    assert described(eif, tmp_path)["SignatureCheck"] is True
    assert recorded(eif) == recorded(again)
    for path in parts.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in (ACCESS_KEY, SECRET_KEY, TOKEN))


def test_a_certificate_by_an_authority_for_a_key_in_kms(tmp_path: Path) -> None:
    """docs/signing.md: who has but the public key lets an authority certify it."""
    require("openssl")
    key, folder = ec_key(ec.SECP384R1()), tmp_path / "aws"
    folder.mkdir()
    authority = Authority()
    (folder / "authority.pem").write_bytes(authority.pem)
    (folder / "authority-key.pem").write_bytes(key_pem(authority.key))
    with kms_for_boto3(folder) as (kms, environment):
        kms.signing[ARN] = FakeSigningKey(key)
        parts = make_parts(tmp_path / "parts", ARN)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        (folder / "public.der").write_bytes(public)
        for command in (
            "openssl pkey -pubin -inform DER -in public.der -out public.pem",
            "openssl x509 -new -force_pubkey public.pem -subj '/CN=Enclaves of Example' -CA authority.pem"
            f" -CAkey authority-key.pem -days 365 -sha384 -out {parts.folder}/certificate.pem",
        ):
            subprocess.run(split(command), cwd=folder, check=True, capture_output=True)
        seen = described(parts.image(environment=environment), tmp_path)
    assert seen["SignatureCheck"] is True


def test_kms_refuses_before_anything_is_built(tmp_path: Path) -> None:
    folder = tmp_path / "aws"
    folder.mkdir()
    key = ec_key()
    parts = make_parts(tmp_path / "parts", ARN)
    (parts.folder / "certificate.pem").write_bytes(self_signed(key))
    with kms_for_boto3(folder) as (kms, environment):
        kms.signing[ARN] = FakeSigningKey(key, refusals={"DryRun": ("AccessDeniedException", "not you")})
        done = parts.check(environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"enclaver.yaml:8:3: `signature.key`: {ARN}: access denied: not you" in done.stderr
    for secret in (SECRET_KEY, TOKEN, "Traceback"):
        assert secret not in done.stderr


KEY = ec_key(ec.SECP384R1())
LONG_AGO, YESTERDAY, TOMORROW = (datetime.now(UTC) + timedelta(days=days) for days in (-900, -1, 1))


@pytest.mark.parametrize(
    ("certificate", "key", "what"),
    [
        (self_signed(KEY, first=LONG_AGO, last=YESTERDAY), key_pem(KEY), "the certificate has expired"),
        (self_signed(KEY, first=TOMORROW), key_pem(KEY), "the certificate is not valid before"),
        (self_signed(KEY), key_pem(ec_key(ec.SECP384R1())), "the key is not that of the signing certificate"),
        (self_signed(rsa_key()), key_pem(rsa_key()), "the key is of the kind RSA"),
        (self_signed(KEY), encrypted_pem(KEY), "the private key is encrypted"),
        (self_signed(KEY) + self_signed(ec_key()), key_pem(KEY), "holds 2 certificates"),
        (b"\xff\x00garbage", key_pem(KEY), "holds no certificate in PEM"),
        (self_signed(KEY), b"\xff\x00garbage", "holds no private key in PEM"),
    ],
    ids=["expired", "not-yet", "mismatched", "rsa", "encrypted", "chain", "no-certificate", "no-key"],
)
def test_what_is_unfit_is_refused_with_its_own_message(
    tmp_path: Path, certificate: bytes, key: bytes, what: str
) -> None:
    (tmp_path / "key.pem").write_bytes(key)
    parts = make_parts(tmp_path / "parts", tmp_path / "key.pem")
    (parts.folder / "certificate.pem").write_bytes(certificate)
    done = parts.check()
    assert (done.returncode, done.stdout) == (1, "")
    assert what in done.stderr
    assert done.stderr.startswith("enclaver.yaml:")
    assert "Traceback" not in done.stderr
    for line in key_pem(KEY).decode().splitlines()[1:-1]:
        assert line not in done.stderr
