"""A network of a test's own: its addresses, its names, and nobody else's; the world, to what runs in it.

Programs in it see an /etc/hosts of their own, in a mount namespace, so that a resolver needs no server, and may listen
on any port of addresses that are nobody's here (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.tools import require

_SET_UP = """
set -e
hosts="$1"
shift
ip link set lo up
for address in "$@"; do
    case "$address" in
        # What goes there comes back, and is nobody's.
        silent/*) ip route add "${address#silent/}" dev lo ;;
        *) ip address add "$address" dev lo ;;
    esac
done
# Who does not answer is given up after 3 seconds instead of minutes.
echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
mount --bind "$hosts" /etc/hosts
echo ready
exec cat
"""


@dataclass(frozen=True)
class PrivateNetwork:
    """A private network, by a process in it."""

    pid: int

    def command(self, *arguments: str) -> list[str]:
        """The command that runs another one in this network."""
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--wd", "--", *arguments]


@contextmanager
def private_network(
    folder: Path, names: Mapping[str, str], *, silent: Collection[str] = ()
) -> Iterator[PrivateNetwork]:
    """Make a network in which ``names`` have these addresses, which are all its own; it ends with the test.

    At the addresses in ``silent`` nobody answers, or refuses. Takes root; without it, the test is skipped.
    """
    if os.geteuid() != 0:
        pytest.skip("a network of its own takes root")
    for tool in ("ip", "nsenter", "unshare"):
        require(tool)
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in names.items()))
    addresses = sorted({_set_up(one, one in silent) for one in names.values() if not _is_loopback(one)})
    command = ["unshare", "--net", "--mount", "--", "sh", "-c", _SET_UP, "set-up", str(hosts), *addresses]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", "no network of its own"
        try:
            yield PrivateNetwork(process.pid)
        finally:
            process.kill()


def _set_up(address: str, is_silent: bool) -> str:
    network = f"{address}/128" if ":" in address else f"{address}/32"
    return f"silent/{network}" if is_silent else network


def _is_loopback(address: str) -> bool:
    return address.startswith("127.")
