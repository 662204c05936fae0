"""Who signs an image: the certificate and the key of a manifest's ``signature``, checked before anything is built.

A key in a PEM file signs deterministically (RFC 6979), so that the same inputs give the same image; KMS does not.
Either way the registers are the same, since none of them measures a signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from enclaver.core.eif import cose, signing_identity
from enclaver.core.eif.signing import Signer, algorithm_of
from enclaver.core.errors import EnclaverError, in_file
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.problems import ManifestError, Problem, TextError
from enclaver.core.manifest.signing_key import KeyKind, parse_signing_key
from enclaver.core.rootfs.regular import open_regular

_CERTIFICATE: Final = "signature.certificate"
_KEY: Final = "signature.key"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that signs: its public part, and a function from a digest to the signature's DER."""

    public_key: ec.EllipticCurvePublicKey
    sign: Callable[[bytes], bytes]


def load(manifest: Manifest, certificate: Path, key: str, *, now: datetime) -> Signer:
    """Return who signs a manifest's image; all that can be wrong with the two is found out here.

    Args:
        manifest: asks for the signature; its lines are named in errors.
        certificate: a PEM file.
        key: the path of a PEM file, or the ARN of a key in KMS, which is asked whether it may be used.
        now: the time, with its zone, at which the certificate has to be valid.

    Raises:
        ManifestError: the files cannot be read or are unfit, don't belong together, or KMS refuses; each problem stands
            at the manifest's line that names the file or the key. No message holds anything of a key.
    """
    if manifest.signature is None:
        problem = manifest.origin.problem(
            "signature", "the manifest has no `signature`, and one is to be made", "add `signature:` to it"
        )
        raise ManifestError(manifest.origin.source.file, [problem])
    problems: list[Problem] = []

    def attempt(where: str, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except EnclaverError as error:
            what = ": ".join(part for part in (error.file, error.place, error.what) if part)
            problems.append(manifest.origin.problem(where, f"`{where}`: {what}", error.cure))
            return None

    found = attempt(_CERTIFICATE, lambda: _read(certificate, lambda text: signing_identity.read_certificate(text, now)))
    # Without a certificate it is not known what the key has to be; but a file that cannot be read is told at once.
    its_key = attempt(_KEY, lambda: _load_key(key))
    if found is not None and its_key is not None:
        signer = attempt(_KEY, lambda: _signer(found, its_key, key))
        if signer is not None:
            return signer
    raise ManifestError(manifest.origin.source.file, problems)


def _signer(certificate: x509.Certificate, key: _Key, name: str) -> Signer:
    with in_file(Path(name)):
        signing_identity.check_match(certificate, key.public_key)
    half = algorithm_of(key.public_key).half

    def sign(digest: bytes) -> bytes:
        try:
            return cose.raw_from_der(key.sign(digest), half)
        except ValueError:
            raise EnclaverError("what it made is no signature of its kind", file=name, cure="Try again.") from None

    return Signer(certificate, sign)


def _load_key(name: str) -> _Key:
    try:
        key = parse_signing_key(name)
    except TextError as error:
        raise EnclaverError(error.message, cure=error.cure) from error
    if key.kind is KeyKind.FILE:
        return _file_key(Path(key.value))
    assert key.region is not None
    return _kms_key(key.value, key.region)


def _file_key(path: Path) -> _Key:
    key = _read(path, signing_identity.read_private_key)

    def sign(digest: bytes) -> bytes:
        algorithm = cose.BY_CURVE[key.curve.name]
        return key.sign(digest, ec.ECDSA(Prehashed(algorithm.digest), deterministic_signing=True))

    return _Key(key.public_key(), sign)


def _kms_key(arn: str, region: str) -> _Key:
    # With it comes botocore, which most builds can do without.
    from enclaver.system.kms import KmsKey

    key = KmsKey(arn, region)
    try:
        public_key = load_der_public_key(key.public_key())
    except ValueError as error:
        raise EnclaverError("KMS's public key cannot be read", file=arn, cure="Check the key's ARN.") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.curve.name not in cose.BY_CURVE:
        raise EnclaverError("KMS's public key is not of the kind that KMS says", file=arn, cure="Check the key's ARN.")
    # Who may read the key may not sign with it for that; better to know it before the build than after it.
    key.check_access(bytes(cose.BY_CURVE[public_key.curve.name].digest.digest_size))
    return _Key(public_key, key.sign)


def _read(path: Path, parse: Callable[[bytes], T]) -> T:
    with in_file(path):
        with open_regular(path) as (file, _):
            text = file.read(signing_identity.MAX_SIZE + 1)
        if len(text) > signing_identity.MAX_SIZE:
            raise EnclaverError(
                f"is larger than {signing_identity.MAX_SIZE // 1024} KiB, as no certificate and no key is",
                cure="Name the PEM file.",
            )
        return parse(text)
