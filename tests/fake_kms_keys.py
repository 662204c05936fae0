"""An asymmetric key of the stand-in for AWS KMS: what GetPublicKey and Sign answer, and how they refuse."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SPECS = {"secp256r1": "ECC_NIST_P256", "secp384r1": "ECC_NIST_P384", "secp521r1": "ECC_NIST_P521"}
SPECS |= {"secp256k1": "ECC_SECG_P256K1"}
_HASHES = {"ECC_NIST_P256": hashes.SHA256(), "ECC_NIST_P384": hashes.SHA384(), "ECC_NIST_P521": hashes.SHA512()}


@dataclass
class FakeSigningKey:
    """A key.

    Args:
        key: its private part.
        usage: SIGN_VERIFY, KEY_AGREEMENT, ENCRYPT_DECRYPT.
        refusals: actions (and ``DryRun``) to the error's type and message.
        knows_dry_run: whether it is one of AWS's; what stands in for KMS elsewhere often signs instead.
    """

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    usage: str = "SIGN_VERIFY"
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    knows_dry_run: bool = True

    @property
    def spec(self) -> str:
        """KMS's name of its kind."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return f"RSA_{self.key.key_size}"
        return SPECS[self.key.curve.name]

    def answer(self, action: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer an action with a status and a JSON object."""
        step = "DryRun" if document.get("DryRun") else action
        if step in self.refusals:
            kind, message = self.refusals[step]
            return 400, {"__type": kind, "message": message}
        answer = {"KeyId": "arn:aws:kms:us-east-1:111122223333:key/its-own"}
        if action == "GetPublicKey":
            public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            encoded = base64.b64encode(public).decode()
            return 200, {**answer, "PublicKey": encoded, "KeySpec": self.spec, "KeyUsage": self.usage}
        if document.get("DryRun") and self.knows_dry_run:
            return 400, {"__type": "DryRunOperationException", "message": "It would have succeeded."}
        digest, algorithm = base64.b64decode(document["Message"]), _HASHES.get(self.spec)
        wanted = ("DIGEST", f"ECDSA_SHA_{8 * len(digest)}")
        if algorithm is None or (document["MessageType"], document["SigningAlgorithm"]) != wanted:
            return 400, {"__type": "InvalidKeyUsageException", "message": "Another algorithm."}
        if len(digest) != algorithm.digest_size:
            return 400, {"__type": "ValidationException", "message": "Digest is of an invalid length."}
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        signature = self.key.sign(digest, ec.ECDSA(Prehashed(algorithm)))
        return 200, {**answer, "Signature": base64.b64encode(signature).decode()}
