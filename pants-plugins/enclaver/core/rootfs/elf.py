"""Which machine a program is for. Source: the ELF header, System V ABI, "Object Files" (e_type, e_machine)."""

from __future__ import annotations

import struct
from typing import Final

_MAGIC: Final = b"\x7fELF"
_CLASS_AND_ORDER: Final = slice(4, 6)
_LITTLE_64: Final = b"\x02\x01"
_TYPE_AND_MACHINE: Final = struct.Struct("<HH")
_OFFSET: Final = 0x10
# ET_EXEC and ET_DYN: programs and shared libraries. Relocatable files are data to an app (BPF programs, for one).
_LOADED: Final = (2, 3)
_NAMES: Final = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
HEADER_SIZE: Final = _OFFSET + _TYPE_AND_MACHINE.size


def machine(head: bytes) -> str | None:
    """Return the machine a program or library is for: ``x86_64``, ``aarch64``, another name; None for other files.

    Args:
        head: the file's first HEADER_SIZE bytes, or all of them when it is shorter.
    """
    if not head.startswith(_MAGIC) or len(head) < HEADER_SIZE:
        return None
    if head[_CLASS_AND_ORDER] != _LITTLE_64:
        return "a 32-bit or big-endian machine"
    kind, number = _TYPE_AND_MACHINE.unpack_from(head, _OFFSET)
    if kind not in _LOADED:
        return None
    return _NAMES.get(number, f"machine {number}")
