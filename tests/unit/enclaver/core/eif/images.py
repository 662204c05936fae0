"""Small images for tests: plans, files, and signatures as AWS's tools make them."""

from __future__ import annotations

import datetime
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from enclaver.core.eif.format import CRC_OFFSET, SECTION_HEADER, Header, SectionType, lay_out
from enclaver.core.eif.metadata import metadata, render
from enclaver.core.eif.writer import ImagePlan, write
from enclaver.core.rootfs.entry import InlineContent

METADATA = render(metadata(name="n", version="1", tool_version="0", kernel_version="6.12", extras={}))
DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)


def plan(*ramdisks: bytes, kernel: bytes = b"kernel", cmdline: str = "panic=30") -> ImagePlan:
    """A plan whose contents are in memory; one ramdisk when none is given."""
    disks = [InlineContent(data) for data in ramdisks or (b"boot",)]
    return ImagePlan("x86_64", InlineContent(kernel), cmdline, disks, METADATA)


def image_bytes(image: ImagePlan) -> bytes:
    """The image's file."""
    out = io.BytesIO()
    write(image, out)
    return out.getvalue()


def sections_bytes(sections: Sequence[tuple[int, bytes]], header: Header | None = None) -> bytes:
    """A file of any sections, each with its right header and the CRC right, however wrong the rest is."""
    table = lay_out([len(data) for _, data in sections])
    header = header or Header(flags=0, memory_bytes=1, cpus=1, sections=table)
    body = b"".join(SECTION_HEADER.pack(kind, 0, len(data)) + data for kind, data in sections)
    return with_crc(header.pack() + body)


def with_crc(data: bytes) -> bytes:
    """The file with its CRC made right."""
    crc = zlib.crc32(data[CRC_OFFSET + 4 :], zlib.crc32(data[:CRC_OFFSET]))
    return data[:CRC_OFFSET] + struct.pack(">I", crc) + data[CRC_OFFSET + 4 :]


def resigned(data: bytes, signature: bytes) -> bytes:
    """A file made by ``image_bytes``, with a signature section behind its sections."""
    sections: list[tuple[int, bytes]] = []
    offset = 548
    while offset < len(data):
        kind, _, size = SECTION_HEADER.unpack_from(data, offset)
        sections.append((kind, data[offset + SECTION_HEADER.size :][:size]))
        offset += SECTION_HEADER.size + size
    return sections_bytes([*sections, (SectionType.SIGNATURE, signature)])


def key_and_certificate(
    curve: ec.EllipticCurve | None = None,
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A fresh key and its self-signed certificate."""
    key = ec.generate_private_key(curve or ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer.example.com")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 77, DAY, DAY.replace(year=2044))
    return key, builder.sign(key, hashes.SHA384())


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def cose_sign1(key: ec.EllipticCurvePrivateKey, payload: bytes, *, algorithm: int = -35) -> bytes:
    """A COSE_Sign1 message, untagged, as AWS's library writes it."""
    protected = cbor2.dumps({1: algorithm})
    to_sign = cbor2.dumps(["Signature1", protected, b"", payload])
    hash_ = {-7: hashes.SHA256(), -35: hashes.SHA384(), -36: hashes.SHA512()}.get(algorithm, hashes.SHA384())
    halves = decode_dss_signature(key.sign(to_sign, ec.ECDSA(hash_)))
    size = (key.curve.key_size + 7) // 8
    signature = b"".join(half.to_bytes(size, "big") for half in halves)
    return cbor2.dumps([protected, {}, payload, signature])


def signature_section(
    key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, pcr0: bytes, *, algorithm: int = -35
) -> bytes:
    """A signature section, its byte strings as arrays of integers, as serde writes them."""
    payload = cbor2.dumps({"register_index": 0, "register_value": list(pcr0)})
    message = cose_sign1(key, payload, algorithm=algorithm)
    return cbor2.dumps([{"signing_certificate": list(pem(certificate)), "signature": list(message)}])


def saved(folder: Path, data: bytes) -> Path:
    """The data as a file."""
    path = folder / "x.eif"
    path.write_bytes(data)
    return path
