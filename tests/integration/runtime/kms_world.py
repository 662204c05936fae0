"""A booted guest in a network of its own, where 169.254.169.254 and KMS's address are this machine's.

The test runs this module in a network namespace (``unshare --net``), since no machine should have these addresses
for a test's sake. It makes the authority that KMS's certificate is of, adds it to the image, boots that, and leaves
a report.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from enclaver.core.eif.reader import read
from enclaver_runtime.enclave import network
from tests import fake_imds
from tests.certificates import Authority
from tests.fake_kms import FakeKms
from tests.integration.runtime.booted import run
from tests.integration.runtime.image_files import with_files

KMS = "192.0.2.53"
IMDS = "169.254.169.254"
ROLE = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "TheRoles/Secret+1", "Token": "TheRoles/Token+1=="}

#: Where the image's AWS_CA_BUNDLE is.
BUNDLE = "etc/ssl/certs/kms-test.pem"

_SIOCSIFADDR = 0x8916
# struct ifreq: the device's name, and a struct sockaddr_in where its union begins.
_ADDRESS = struct.Struct("=16sHH4s16x")


def add_address(address: str, alias: str) -> None:
    """Give the loopback device one more IPv4 address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = _ADDRESS.pack(alias.encode(), socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(control, _SIOCSIFADDR, request)


def verified(document: bytes, root: bytes) -> dict[str, Any]:
    """Return what an attestation document says, if it is signed, and its chain begins with ``root`` (PEM).

    Raises:
        ValueError: it is not.
    """
    protected, _, payload, signature = cbor2.loads(document)
    fields: dict[str, Any] = cbor2.loads(payload)
    chain = [x509.load_der_x509_certificate(der) for der in (*fields["cabundle"], fields["certificate"])]
    if chain[0] != x509.load_pem_x509_certificate(root):
        raise ValueError("the chain begins with another root")
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key = chain[-1].public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    numbers = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    try:
        for issuer, issued in itertools.pairwise(chain):
            issued.verify_directly_issued_by(issuer)
        key.verify(encode_dss_signature(*numbers), signed, ECDSA(SHA384()))
    except InvalidSignature as error:
        raise ValueError("a signature is none") from error
    return fields


def world(eif: Path, folder: Path) -> dict[str, object]:
    """Boot an image among its servers; what the app and the servers saw."""
    network.bring_up()
    add_address(KMS, "lo:1")
    add_address(IMDS, "lo:2")
    authority = Authority()
    made = with_files(eif, {BUNDLE: authority.pem}, folder)
    root = folder / "root.pem"
    documents: list[dict[str, Any]] = []

    def public_key_of(document: bytes) -> bytes:
        documents.append(verified(document, root.read_bytes()))
        key = documents[-1]["public_key"]
        assert isinstance(key, bytes)
        return key

    kms = FakeKms({ROLE["AccessKeyId"]: (ROLE["SecretAccessKey"], ROLE["Token"])}, public_key_of)
    with kms.serving(folder, authority, KMS, 443), fake_imds.serving(ROLE) as asked:
        ended = run(made, "--development-attestation", "--development-root", str(root))
    return {
        "code": ended.code,
        "log": ended.log,
        "said": ended.said,
        "calls": kms.calls,
        "documents": [{"pcr2": one["pcrs"][2].hex(), "public_key": one["public_key"].hex()} for one in documents],
        "pcr2": read(made).measurements.registers()["PCR2"],
        "imds": asked,
    }


if __name__ == "__main__":
    Path(sys.argv[2], "report.json").write_text(json.dumps(world(Path(sys.argv[1]), Path(sys.argv[2]))))
