"""What a TLS server is known by: its certificate chain, and the private key of the chain's first certificate.

The enclave's OpenSSL reads both at boot, on its security level 2, and refuses what is not sound. Here the same is found
out when the image is built. No clock is asked: whether a certificate has expired is no property of an image, and the
same image has to come out of the same files on any day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from enclaver.core.errors import EnclaverError
from enclaver.core.tls.pem import Block, blocks
from enclaver.core.tls.pem_objects import CERTIFICATE, instead, load_certificate, load_private_key, spki

#: What OpenSSL's security level 2 demands of RSA, in bits.
MIN_RSA_BITS: Final = 2048

_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_USE: Final = f"Use RSA of {MIN_RSA_BITS} bits or more, an elliptic curve (P-256, P-384, P-521), or Ed25519."
_WEAK_HASHES: Final = frozenset({"md5", "sha1"})

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class ChainCertificate:
    """A certificate of a chain.

    Args:
        line: its line in the file.
        public_key: DER, SubjectPublicKeyInfo.
        pem: the certificate alone, canonical.
    """

    line: int
    public_key: bytes
    pem: bytes


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A private key.

    Args:
        public_key: its public part; DER, SubjectPublicKeyInfo.
        pem: the key alone, canonical; in no ``repr``, since that could get into a message.
    """

    public_key: bytes
    pem: bytes = field(repr=False)


def read_chain(text: bytes) -> list[ChainCertificate]:
    """Return the certificates of a PEM file, at least one; other blocks of it say nothing.

    Raises:
        EnclaverError: there is none, or one is damaged, or too weak for the enclave's OpenSSL.
    """
    found = blocks(text)
    chain = [_certificate(block) for block in found if block.label == CERTIFICATE]
    if not chain:
        raise EnclaverError(
            f"holds no certificate{instead(found)}",
            cure="Write the chain as PEM, the server's certificate first: `-----BEGIN CERTIFICATE-----`.",
        )
    return chain


def read_key(text: bytes) -> ServerKey:
    """Return the private key of a PEM file; no message holds anything of it.

    Raises:
        EnclaverError: there is none or more than one, or it is encrypted, damaged, or of a kind that TLS servers
            don't use.
    """
    block, key = load_private_key(
        text,
        encrypted="there is nobody in an enclave to type its passphrase",
        decrypt="Decrypt it: `openssl pkey -in OLD -out NEW`.",
        known=_USE,
    )
    return ServerKey(spki(_for_tls(key, block).public_key()), block.canonical)


def check_match(chain: Sequence[ChainCertificate], key: ServerKey) -> None:
    """Refuse a chain whose first certificate is not the key's.

    Raises:
        EnclaverError: it is another's; the text says which certificate of the chain is the key's, if one is.
    """
    leaf, *rest = chain
    if leaf.public_key == key.public_key:
        return
    later = next((one for one in rest if one.public_key == key.public_key), None)
    if later is not None:
        raise EnclaverError(
            f"the certificate of the private key is not the first, but that of line {later.line}",
            place=f"line {leaf.line}",
            cure="Put the server's own certificate first, then those that certify it.",
        )
    raise EnclaverError(
        "the certificate is not that of the private key",
        place=f"line {leaf.line}",
        cure="Name a certificate and a key that were made for each other.",
    )


def _certificate(block: Block) -> ChainCertificate:
    certificate = load_certificate(block)
    public_key, signed_with = certificate.public_key(), certificate.signature_hash_algorithm
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size < MIN_RSA_BITS:
        raise EnclaverError(
            f"the certificate's key is RSA of {public_key.key_size} bits, which TLS does not accept any more",
            place=block.place,
            cure=_USE,
        )
    # Whoever trusts a root does not do so for its signature of itself.
    if signed_with and signed_with.name in _WEAK_HASHES and certificate.subject != certificate.issuer:
        raise EnclaverError(
            f"the certificate is signed with {signed_with.name.upper()}, which TLS does not accept any more",
            place=block.place,
            cure="Let it be issued anew, signed with SHA-256.",
        )
    return ChainCertificate(block.line, spki(public_key), block.canonical)


def _for_tls(key: PrivateKeyTypes, block: Block) -> PrivateKey:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise EnclaverError(
                f"the private key is RSA of {key.key_size} bits, which TLS does not accept any more",
                place=block.place,
                cure=_USE,
            )
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            raise EnclaverError(
                f"the private key is of the curve {key.curve.name}, which TLS clients do not know",
                place=block.place,
                cure=_USE,
            )
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise EnclaverError("the private key is of a kind that no TLS client knows", place=block.place, cure=_USE)
