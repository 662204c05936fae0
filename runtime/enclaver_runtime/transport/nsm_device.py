"""The Nitro Security Module's device: one ioctl, bytes in, bytes out.

Source: Linux, include/uapi/linux/nsm.h (``NSM_IOCTL_RAW`` / ``struct nsm_iovec``).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from types import TracebackType

#: Where the driver puts its device.
PATH = "/dev/nsm"

#: _IOWR(0x0A, 0, 32 bytes).
_NSM_IOCTL = 0xC0200A00

#: Two iovecs of the machine's own byte order: request address and length, response address and length.
_MESSAGE = struct.Struct("=QQQQ")

_RESPONSE_SIZE = 0x3000

Ioctl = Callable[[int, int, bytearray], int]


class NsmDevice:
    """An open NSM. Close it, or use it as a context manager.

    Args:
        path: the device.
        ioctl: does the call; for tests.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str = PATH, *, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._ioctl = ioctl
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def request(self, request: bytes) -> bytes:
        """Send one request and return the response; blocks while the module works (milliseconds).

        Raises:
            OSError: the driver refuses; EMSGSIZE for a request over 4 KiB.
        """
        source = ctypes.create_string_buffer(request, len(request))
        target = ctypes.create_string_buffer(_RESPONSE_SIZE)
        message = bytearray(
            _MESSAGE.pack(ctypes.addressof(source), len(request), ctypes.addressof(target), _RESPONSE_SIZE)
        )
        self._ioctl(self._fd, _NSM_IOCTL, message)
        # The driver writes the response's length over the room that it was given.
        size = _MESSAGE.unpack(message)[3]
        return target.raw[:size]

    def close(self) -> None:
        """Close the device."""
        os.close(self._fd)

    def __enter__(self) -> NsmDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
