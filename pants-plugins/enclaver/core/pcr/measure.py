"""Platform configuration registers of an enclave image.

For content C a register is SHA-384(48 zero bytes + SHA-384(C)): it starts at zero and is extended once (AWS
Nitro Enclaves User Guide, "Cryptographic attestation"; aws-nitro-enclaves-image-format).
PCR0 is of kernel, command line and all ramdisks, PCR1 of kernel, command line and the first ramdisk, PCR2 of
the ramdisks after the first, PCR8 of the signing certificate's DER.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha384

from enclaver.core.errors import EnclaverError

REGISTER_SIZE = 48
_HEX = re.compile(r"[0-9a-f]{96}\Z")


@dataclass(frozen=True, slots=True)
class Measurements:
    """The registers of one image, 48 bytes each; PCR8 only when the image is signed."""

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes
    pcr8: bytes | None = None

    def registers(self) -> dict[str, str]:
        """Return the registers in hexadecimal, by name, in order of their numbers."""
        named = {"PCR0": self.pcr0, "PCR1": self.pcr1, "PCR2": self.pcr2, "PCR8": self.pcr8}
        return {name: value.hex() for name, value in named.items() if value is not None}


def extend_zero(digest: bytes) -> bytes:
    """Return the register's value after one extension.

    Args:
        digest: the SHA-384 of the content, 48 bytes.
    """
    return sha384(bytes(REGISTER_SIZE) + digest).digest()


def register_of(content: bytes) -> bytes:
    """Return the register of a content that is in memory."""
    return extend_zero(sha384(content).digest())


def from_registers(registers: object, *, file: str) -> Measurements:
    """Return the measurements of registers in hexadecimal by name; the inverse of ``registers``.

    Raises:
        EnclaverError: one is missing, unknown or isn't 96 lower-case hexadecimal digits; ``file`` is named.
    """
    if not isinstance(registers, dict) or not {"PCR0", "PCR1", "PCR2"} <= set(registers):
        raise EnclaverError("has no PCR0, PCR1 and PCR2", file=file)
    values: dict[str, bytes] = {}
    for name, value in registers.items():
        if name not in ("PCR0", "PCR1", "PCR2", "PCR8"):
            raise EnclaverError("is no register of an image", file=file, place=str(name))
        if not isinstance(value, str) or not _HEX.match(value):
            raise EnclaverError("is not 96 lower-case hexadecimal digits", file=file, place=name)
        values[name] = bytes.fromhex(value)
    return Measurements(values["PCR0"], values["PCR1"], values["PCR2"], values.get("PCR8"))
