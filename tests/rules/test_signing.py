"""Signed images: PCR8 in what `package` leaves, and the key in nothing that Pants keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from enclaver.core.eif.reader import read
from tests.certificates import ec_key, key_pem, self_signed
from tests.rules.repository import Repository

pytestmark = pytest.mark.slow
SIGNATURE = "signature:\n  certificate: cert.pem\n  key: key.pem\n"


def secrets(key: ec.EllipticCurvePrivateKey) -> list[bytes]:
    """Return what a copy of a key would have in it: its number, as bytes and as PEM's lines."""
    number = key.private_numbers().private_value.to_bytes((key.curve.key_size + 7) // 8, "big")
    pem = key_pem(key).splitlines()[1:-1]
    return [number, max(pem, key=len)]


def kept(folder: Path, wanted: list[bytes]) -> list[Path]:
    """Return the files below a folder that have any of the texts in them."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if any(text in data for text in wanted):
                found.append(path)
    return found


def test_a_signed_image_and_a_key_that_stays_where_it_is(repository: Repository, tmp_path: Path) -> None:
    key = ec_key(ec.SECP384R1())
    repository.image("signed", 'enclave_image(name="enclave")', app="//files:script", manifest=SIGNATURE)
    certificate = self_signed(key)
    repository.write("signed/cert.pem", certificate)
    (repository.root / "signed" / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    store = {"PANTS_LOCAL_STORE_DIR": str(tmp_path / "store")}
    repository.succeeds("package", "signed:enclave", daemon=False, environment=store)
    image = read(repository.root / "dist" / "signed" / "enclave.eif")
    assert image.signature is not None
    assert image.signature.problem(image.measurements.pcr0) is None
    assert repository.pcrs("signed")["PCR8"] == image.measurements.registers()["PCR8"]

    assert (tmp_path / "store").is_dir()
    assert kept(tmp_path / "store", [certificate.splitlines()[1]]), "the certificate is an input, so it is kept"
    for folder in (tmp_path / "store", repository.root / "dist", repository.root / ".pants.d"):
        assert kept(folder, secrets(key)) == []

    # That the key is there is looked at in every session, before anything is taken from a cache.
    (repository.root / "signed" / "key.pem").unlink()
    done = repository.pants("package", "signed:enclave")
    assert done.returncode == 1
    assert "signed/enclaver.yaml:8:3: `signature.key`" in done.stderr
