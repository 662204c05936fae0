"""CMS messages as AWS KMS writes them for an enclave: BER with indefinite lengths, and other forms of the same.

Written from RFC 5652, RFC 8017 and X.690, without anything of what reads them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

#: Writes a constructed value: its tag, and what is in it.
Wrap = Callable[[int, bytes], bytes]


def definite(tag: int, content: bytes) -> bytes:
    """Write a value with its length first."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(content).to_bytes(size, "big") + content


def indefinite(tag: int, content: bytes) -> bytes:
    """Write a constructed value that ends where its end is marked."""
    return bytes([tag, 0x80]) + content + b"\0\0"


def oid(text: str) -> bytes:
    """Write an object identifier."""
    first, second, *rest = (int(part) for part in text.split("."))
    content = bytes([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return definite(0x06, content)


DATA, ENVELOPED_DATA = oid("1.2.840.113549.1.7.1"), oid("1.2.840.113549.1.7.3")
OAEP, MGF1 = oid("1.2.840.113549.1.1.7"), oid("1.2.840.113549.1.1.8")
SHA256, AES256_CBC = oid("2.16.840.1.101.3.4.2.1"), oid("2.16.840.1.101.3.4.1.42")
NULL = b"\x05\0"


def content_octets(wrap: Wrap, ciphertext: bytes, piece: int | None) -> bytes:
    """Write [0] IMPLICIT OCTET STRING: primitive, or constructed of pieces of so many bytes."""
    if piece is None:
        return definite(0x80, ciphertext)
    parts = (ciphertext[at : at + piece] for at in range(0, len(ciphertext), piece))
    return wrap(0xA0, b"".join(definite(0x04, part) for part in parts))


def layout(
    encrypted_key: bytes,
    iv: bytes,
    ciphertext: bytes,
    *,
    wrap: Wrap = indefinite,
    piece: int | None = 1024,
    key_id: bytes = bytes(32),
    key_algorithm: bytes = OAEP,
    content_algorithm: bytes = AES256_CBC,
) -> bytes:
    """Lay out a message of one recipient."""
    sha256 = definite(0x30, SHA256 + NULL)
    parameters = definite(0xA0, sha256) + definite(0xA1, definite(0x30, MGF1 + sha256))
    algorithm = definite(0x30, key_algorithm + definite(0x30, parameters))
    version = definite(0x02, b"\x02")
    recipient = wrap(0x30, version + definite(0x80, key_id) + algorithm + definite(0x04, encrypted_key))
    content = wrap(
        0x30,
        DATA + definite(0x30, content_algorithm + definite(0x04, iv)) + content_octets(wrap, ciphertext, piece),
    )
    enveloped = wrap(0x30, version + wrap(0x31, recipient) + content)
    return wrap(0x30, ENVELOPED_DATA + wrap(0xA0, enveloped))


def seal(
    secret: bytes, public_key: bytes, *, wrap: Wrap = indefinite, piece: int | None = 1024, key: bytes | None = None
) -> bytes:
    """Encrypt a secret for a public key (DER), as KMS does for RSAES_OAEP_SHA_256."""
    recipient = load_der_public_key(public_key)
    assert isinstance(recipient, RSAPublicKey)
    content_key, iv = key or os.urandom(32), os.urandom(16)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    padder, encryptor = PKCS7(128).padder(), Cipher(AES(content_key), CBC(iv)).encryptor()
    padded = padder.update(secret) + padder.finalize()
    der = recipient.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return layout(
        recipient.encrypt(content_key, oaep),
        iv,
        encryptor.update(padded) + encryptor.finalize(),
        wrap=wrap,
        piece=piece,
        key_id=hashlib.sha256(der).digest(),
    )
