"""``CiphertextForRecipient``: CMS EnvelopedData (RFC 5652, 6) in BER, as AWS KMS writes it for an enclave.

One recipient, whose RSA key has encrypted the content's AES-256 key with OAEP; the content in CBC. KMS writes
indefinite lengths, and the encrypted content as one piece or as several; both are read here.

Only the layout is read. Whether it was written for our key is known when it is opened, and its recipient's
identifier (the SHA-256 of the public key's DER) would tell nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

from enclaver_runtime.protocol import ber
from enclaver_runtime.protocol.ber import BerError, Element

#: Bytes of a message; the longest secret is a private key of some thousand bytes.
MAX_SIZE = 64 * 1024

# Object identifiers' content octets: RFC 5652 (4, 6), RFC 8017 (C), RFC 3565 (4).
_DATA = bytes.fromhex("2a864886f70d010701")
_ENVELOPED_DATA = bytes.fromhex("2a864886f70d010703")
_RSAES_OAEP = bytes.fromhex("2a864886f70d010107")
_AES256_CBC = bytes.fromhex("60864801650304012a")

_CONTEXT_0 = ber.CONTEXT
_WRAPPED_0 = ber.CONTEXT | ber.CONSTRUCTED
_BLOCK = 16


class CmsError(ValueError):
    """It is no message as KMS writes them."""


@dataclass(frozen=True, slots=True)
class Enveloped:
    """The parts of a message: the content's key, encrypted (RSAES-OAEP), and the content (AES-256-CBC)."""

    encrypted_key: bytes
    iv: bytes
    ciphertext: bytes


def parse(data: bytes) -> Enveloped:
    """Read a message.

    Raises:
        CmsError: it is not BER, not EnvelopedData, or not of these algorithms; one text for all of it.
    """
    try:
        if len(data) > MAX_SIZE:
            raise BerError("too long")
        return _content_info(ber.parse(data))
    except BerError as error:
        raise CmsError("it is not CMS EnvelopedData with RSAES-OAEP and AES-256-CBC") from error


def _content_info(info: Element) -> Enveloped:
    kind, wrapped = _fields(info, ber.SEQUENCE, 2)
    _expect(kind, _ENVELOPED_DATA)
    (enveloped,) = _fields(wrapped, _WRAPPED_0, 1)
    # A version, perhaps [0] with the originator's certificates, the recipients, the content, perhaps attributes.
    parts = [part for part in _fields(enveloped, ber.SEQUENCE)[1:] if not part.tag & ber.CONTEXT]
    if len(parts) != 2:
        raise BerError("not EnvelopedData")
    (recipient,) = _fields(parts[0], ber.SET, 1)
    _, _, algorithm, key = _fields(recipient, ber.SEQUENCE, 4)
    # Its parameters name the hash. Another one than SHA-256 does not open.
    _algorithm(algorithm, _RSAES_OAEP)
    iv, ciphertext = _encrypted_content(parts[1])
    return Enveloped(_octets(key, ber.OCTET_STRING), iv, ciphertext)


def _encrypted_content(info: Element) -> tuple[bytes, bytes]:
    kind, algorithm, content = _fields(info, ber.SEQUENCE, 3)
    _expect(kind, _DATA)
    parameters = _algorithm(algorithm, _AES256_CBC)
    iv, ciphertext = _octets(parameters, ber.OCTET_STRING), _octets(content, _CONTEXT_0)
    if len(iv) != _BLOCK or not ciphertext or len(ciphertext) % _BLOCK:
        raise BerError("not whole blocks")
    return iv, ciphertext


def _algorithm(element: Element, identifier: bytes) -> Element:
    """The parameters of an AlgorithmIdentifier that has to be this one."""
    name, parameters = _fields(element, ber.SEQUENCE, 2)
    _expect(name, identifier)
    return parameters


def _fields(element: Element, tag: int, count: int | None = None) -> tuple[Element, ...]:
    if element.tag != tag or count not in (None, len(element.children)):
        raise BerError("another structure")
    return element.children


def _expect(element: Element, identifier: bytes) -> None:
    if element != Element(ber.OBJECT_IDENTIFIER, identifier):
        raise BerError("another object identifier")


def _octets(element: Element, tag: int) -> bytes:
    if element.tag & ~ber.CONSTRUCTED != tag:
        raise BerError("another type")
    return element.octets()
