"""Ports that cannot be used together.

Inside the enclave three services of the runtime listen on the loopback interface (egress proxy, KMS proxy,
attestation API), and so does the app on its ingress ports: one TCP port each. An ingress port is a vsock
port of the same number as well, where the enclave already listens for status and log; egress is beside them.
The heartbeat's vsock port 9000 is the parent's, on another CID, so an app may listen on 9000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enclaver.core.manifest.problems import Place
from enclaver.core.manifest.reader import Report

# facts: Enclaver's protocol 0.6.1; either side can be swapped for Enclaver's, so the numbers are fixed.
RESERVED_VSOCK = {17000: "status", 17001: "the app's log", 17002: "egress"}


@dataclass(frozen=True, slots=True)
class PortUse:
    """A port, the key that claims it, and where in the file it does.

    ``ingress`` says whether it is reachable from outside, through vsock. ``implied`` is set for a default.
    """

    port: int
    key: str
    place: Place
    ingress: bool = False
    implied: bool = False


def check_ports(uses: Sequence[PortUse], report: Report) -> None:
    """Record every port that is used twice or belongs to the runtime; the later place is blamed."""
    owners: dict[int, PortUse] = {}
    # A default is nowhere in the file, so whoever clashes with it is the one to move: it goes first.
    for use in sorted(uses, key=lambda u: (not u.implied, u.place.line, u.place.column)):
        if use.ingress and use.port in RESERVED_VSOCK:
            report.error(
                use.place,
                use.key,
                f"port {use.port} is the runtime's own vsock port, for {RESERVED_VSOCK[use.port]}",
                "let the app listen on another port (17000 to 17002 are taken)",
            )
        owner = owners.setdefault(use.port, use)
        if owner is not use:
            by = f"the default of `{owner.key}`" if owner.implied else f"`{owner.key}` on line {owner.place.line}"
            cure = f"choose another port here, or set `{owner.key}`" if owner.implied else "choose another port"
            report.error(use.place, use.key, f"port {use.port} is taken by {by}", cure)
