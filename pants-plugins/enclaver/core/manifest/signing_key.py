"""``signature.key``: a PEM file, or the ARN of a key in AWS KMS.

The two cannot be confused: an ARN starts with ``arn:``, and a file of such a name is written ``./arn:...``. The grammar
is that of AWS' docs, "Amazon Resource Names" and "Key ARN" and "Alias ARN" of KMS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from enclaver.core.manifest.problems import TextError, quote

_ARN: Final = re.compile(
    r"arn:aws(?:-[a-z]+)*:kms:(?P<region>[a-z]{2,}(?:-[a-z0-9]+)+):[0-9]{12}:"
    r"(?:key/[A-Za-z0-9-]{1,128}|alias/[A-Za-z0-9/_-]{1,250})"
)


class KeyKind(Enum):
    """Where a signing key is."""

    FILE = "file"
    KMS = "kms"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key, as the manifest or an argument names it: the path of a PEM file, or an ARN."""

    kind: KeyKind
    value: str

    @property
    def region(self) -> str | None:
        """The region that an ARN names; None of a file."""
        found = _ARN.fullmatch(self.value) if self.kind is KeyKind.KMS else None
        return found["region"] if found else None


def parse_signing_key(text: str) -> SigningKey:
    """Classify and check the name of a signing key.

    A path may lead anywhere: the key is no part of the image, and better kept away from what is.

    Raises:
        TextError: the text is a malformed ARN, or names a folder.
    """
    if text.startswith("arn:"):
        if not _ARN.fullmatch(text):
            raise TextError(
                f"{quote(text)} is not the ARN of a KMS key",
                "write `arn:aws:kms:REGION:ACCOUNT:key/ID` or `arn:aws:kms:REGION:ACCOUNT:alias/NAME`",
            )
        return SigningKey(KeyKind.KMS, text)
    if text.rpartition("/")[2] in ("", ".", ".."):
        raise TextError(f"{quote(text)} names a folder", "write the path of a PEM file, or the ARN of a KMS key")
    return SigningKey(KeyKind.FILE, text)
