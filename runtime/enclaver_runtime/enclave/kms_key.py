"""The enclave's key for KMS: KMS encrypts secrets for it, and only this enclave's memory holds its private half.

It is made once in a run, when the first call needs it: in a worker thread, since that takes a while, and not before
the app runs, since PID 1 starts threads only after it has forked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from enclaver_runtime.protocol import cms
from enclaver_runtime.protocol.cms import Enveloped

if TYPE_CHECKING:
    # Loaded only when it is needed: it takes its time.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

#: What KMS documents for RSAES_OAEP_SHA_256 and the module's 1024 bytes for a public key have room for.
KEY_BITS = 2048

_EXPONENT = 65537
_AES_256 = 32
_BLOCK_BITS = 128


class OpenError(Exception):
    """What KMS sent cannot be opened. There is one text for all reasons, which are nobody's business but KMS's."""

    def __init__(self) -> None:
        super().__init__("CiphertextForRecipient cannot be opened with this enclave's key")


class KmsKey:
    """The key pair. Concurrent first calls wait for the same one."""

    def __init__(self) -> None:
        self._key: RSAPrivateKey | None = None
        self._turn = trio.Lock()

    async def public_key(self) -> bytes:
        """The public half, as DER of SubjectPublicKeyInfo: what goes into the attestation document."""
        return await trio.to_thread.run_sync(_public_der, await self._private_key())

    async def open(self, data: bytes) -> bytes:
        """The secret in a CMS message (CiphertextForRecipient).

        Raises:
            CmsError: it is no such message.
            OpenError: it cannot be opened.
        """
        message = cms.parse(data)
        return await trio.to_thread.run_sync(_open, await self._private_key(), message)

    async def _private_key(self) -> RSAPrivateKey:
        async with self._turn:
            if self._key is None:
                self._key = await trio.to_thread.run_sync(_generate)
            return self._key


def _generate() -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(_EXPONENT, KEY_BITS)


def _public_der(key: RSAPrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _open(key: RSAPrivateKey, message: Enveloped) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.padding import PKCS7

    try:
        content_key = key.decrypt(message.encrypted_key, OAEP(MGF1(SHA256()), SHA256(), None))
        if len(content_key) != _AES_256:
            raise OpenError
        decryptor = Cipher(AES(content_key), CBC(message.iv)).decryptor()
        padded = decryptor.update(message.ciphertext) + decryptor.finalize()
        unpadder = PKCS7(_BLOCK_BITS).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        # Whose fault it was would be an oracle, although nobody but KMS, over TLS, could ask it.
        raise OpenError from None
