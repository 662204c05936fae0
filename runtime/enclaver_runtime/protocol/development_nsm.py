"""The development security module's wire: the NSM's own messages, to the parent's vsock port 17003.

A parent in an emulator may play the module that it lacks, and signs documents with a root of its own that nobody
trusts. An enclave asks it only when its kernel's command line says so. The command line is measured, so such an
image has other PCRs than the one that goes into production.

The enclave connects and sends one frame, a request; the parent answers with one, and hangs up. A frame is a length
(32 bits, big-endian) and so many bytes of CBOR, as protocol.nsm has them.
"""

from __future__ import annotations

import struct

from enclaver_runtime.protocol.frames import FrameReader

#: The parent's vsock port.
PORT = 17003

#: What the kernel's command line has, as a word of its own, when the parent is to be asked.
COMMAND_LINE_WORD = "enclaver.development_nsm=vsock"

_LENGTH = struct.Struct(">I")


def is_wanted(command_line: str) -> bool:
    """Whether a kernel's command line asks for the development module."""
    return COMMAND_LINE_WORD in command_line.split()


def frame(message: bytes) -> bytes:
    """Write a message's frame."""
    return _LENGTH.pack(len(message)) + message


def frame_reader(max_size: int) -> FrameReader:
    """A reader for one frame of at most ``max_size`` bytes."""
    return FrameReader(max_size, length=_LENGTH)
