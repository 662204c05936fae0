"""The chain against what real documents' certificates say: extensions, their criticality, lifetimes."""

from __future__ import annotations

import datetime
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from enclaver_runtime.parent.development_pki import ROOT_NAME, DevelopmentPki, Signer

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, 987654, tzinfo=datetime.UTC)
SECOND = NOW.replace(microsecond=0)
MODULE = "i-development-enc0123456789abcdef"


def made() -> DevelopmentPki:
    return DevelopmentPki(module_id=MODULE, now=NOW)


def chain(signer: Signer) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(der) for der in (*signer.cabundle, signer.certificate)]


def extensions(certificate: x509.Certificate) -> dict[str, tuple[bool, object]]:
    return {one.oid._name: (one.critical, one.value) for one in certificate.extensions}


def usages(certificate: x509.Certificate) -> set[str]:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return {name for name in (*names, "key_cert_sign", "crl_sign") if getattr(usage, name)}


def test_five_certificates_each_issued_by_the_one_before() -> None:
    pki = made()
    certificates = chain(pki.signer(NOW))
    assert len(certificates) == 5
    assert certificates[0] == pki.root
    for issuer, certificate in zip([certificates[0], *certificates], certificates, strict=False):
        certificate.verify_directly_issued_by(issuer)
        assert certificate.version is x509.Version.v3
    assert len({certificate.serial_number for certificate in certificates}) == 5


def test_the_names_say_what_they_are() -> None:
    certificates = chain(made().signer(NOW))
    names = [one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for one in certificates]
    assert names[0] == ROOT_NAME
    assert "proves nothing" in ROOT_NAME
    assert str(names[-1]).startswith(f"{MODULE}.")
    assert all("Amazon" not in one.subject.rfc4514_string() for one in certificates)


def test_the_extensions_are_those_of_real_ones() -> None:
    root, region, zone, instance, leaf = chain(made().signer(NOW))
    authority = {"digital_signature", "key_cert_sign", "crl_sign"}
    found = [usages(one) for one in (root, region, zone, instance, leaf)]
    assert found == [authority, authority, authority, {"key_cert_sign"}, {"digital_signature", "content_commitment"}]
    limits = [
        one.extensions.get_extension_for_class(x509.BasicConstraints) for one in (root, region, zone, instance, leaf)
    ]
    assert [(one.critical, one.value.ca, one.value.path_length) for one in limits] == [
        (True, True, None),
        (True, True, 2),
        (True, True, 1),
        (True, True, 0),
        (True, False, None),
    ]
    assert extensions(root).keys() == {"basicConstraints", "subjectKeyIdentifier", "keyUsage"}
    for one in (region, zone, instance):
        assert extensions(one).keys() == extensions(root).keys() | {"authorityKeyIdentifier"}
        assert {name for name, (critical, _) in extensions(one).items() if critical} == {"basicConstraints", "keyUsage"}
    assert {name: critical for name, (critical, _) in extensions(leaf).items()} == {
        "basicConstraints": True,
        "keyUsage": False,
    }


def test_the_lifetimes_are_those_of_real_ones() -> None:
    root, *rest = chain(made().signer(NOW))
    assert {one.not_valid_before_utc for one in (root, *rest)} == {SECOND - timedelta(seconds=3)}
    assert [one.not_valid_after_utc - SECOND for one in rest] == [
        timedelta(days=20),
        timedelta(days=6),
        timedelta(days=1),
        timedelta(hours=3),
    ]
    assert root.not_valid_after_utc - SECOND > timedelta(days=29 * 365)


def test_the_signature_is_two_numbers_of_48_bytes() -> None:
    signer = made().signer(NOW)
    signature = signer.sign(b"data")
    assert len(signature) == 96
    key = x509.load_der_x509_certificate(signer.certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP384R1)
    numbers = (int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))
    key.verify(encode_dss_signature(*numbers), b"data", ec.ECDSA(hashes.SHA384()))
    with pytest.raises(InvalidSignature):
        key.verify(encode_dss_signature(*numbers), b"date", ec.ECDSA(hashes.SHA384()))


def test_all_below_the_root_is_renewed_in_time() -> None:
    pki = made()
    first = pki.signer(NOW)
    later = NOW + timedelta(hours=1, minutes=29)
    assert pki.signer(later) is first
    # A day after, when even the first instance's certificate is over.
    much_later = NOW + timedelta(days=30)
    second = pki.signer(much_later)
    assert second.cabundle[0] == first.cabundle[0]
    assert not {*second.cabundle[1:], second.certificate} & {*first.cabundle[1:], first.certificate}
    for one in chain(second):
        assert one.not_valid_before_utc <= much_later < one.not_valid_after_utc


def test_two_runs_have_two_roots() -> None:
    assert made().root.fingerprint(hashes.SHA256()) != made().root.fingerprint(hashes.SHA256())
