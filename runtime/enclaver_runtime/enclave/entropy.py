"""The kernel's random number generator, seeded from the security module."""

from __future__ import annotations

import fcntl
import os
import struct

#: _IOW('R', 0x03, int[2]), linux/random.h: adds bytes to the pool and counts them as entropy.
_RNDADDENTROPY = 0x40085203

#: struct rand_pool_info without its bytes: entropy in bits, size in bytes.
_POOL_INFO = struct.Struct("=ii")


def credit(seed: bytes, *, device: str = "/dev/random") -> None:
    """Mix ``seed`` into the kernel's generator and count every bit of it as entropy.

    Raises:
        OSError: the caller may not (it takes CAP_SYS_ADMIN).
    """
    fd = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _RNDADDENTROPY, _POOL_INFO.pack(len(seed) * 8, len(seed)) + seed)
    finally:
        os.close(fd)
