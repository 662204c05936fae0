"""The sign of life that AWS's tools wait for: one byte to the parent's vsock port 9000, and the same back.

``nitro-cli run-enclave`` listens there and reports the enclave as started when the byte arrives. On Nitro the
parent is CID 3; in QEMU behind vhost-device-vsock it is CID 2.
"""

from __future__ import annotations

#: The parent's vsock port.
PORT = 9000

#: The parent's CIDs, in the order they are tried.
PARENT_CIDS = (3, 2)

#: What is sent, and what is expected back.
BEAT = b"\xb7"


class HeartbeatError(ValueError):
    """The parent answered something else."""


def check(reply: bytes) -> None:
    """Accept the parent's ``reply``.

    Raises:
        HeartbeatError: it is not the byte that was sent; no bytes mean that the parent hung up.
    """
    if reply != BEAT:
        raise HeartbeatError(f"the parent answered the heartbeat with {reply[:16]!r}, expected {BEAT!r}")
