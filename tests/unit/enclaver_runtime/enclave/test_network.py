from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from enclaver_runtime.enclave import network
from tests.unit.enclaver_runtime.isolation import in_child, needs_root


@needs_root
def test_loopback_comes_up_with_its_addresses() -> None:
    def reachable() -> bool:
        with socket.create_server(("127.0.0.1", 0)) as server:
            try:
                socket.create_connection(server.getsockname(), timeout=1).close()
            except OSError:
                return False
            return True

    def scenario() -> tuple[bool, bool, str]:
        before = reachable()
        network.bring_up()
        network.bring_up()
        return before, reachable(), Path("/proc/net/if_inet6").read_text()

    before, after, addresses = in_child(scenario, namespaces=True)
    assert (before, after) == (False, True)
    assert not addresses or addresses.startswith("0" * 31 + "1 ")


def test_a_device_that_is_missing_is_an_error() -> None:
    with pytest.raises(OSError) as caught:
        network.bring_up("nope0")
    assert caught.value.errno == errno.ENODEV


def test_low_ports_are_opened(tmp_path: Path) -> None:
    network.open_low_ports(str(tmp_path / "setting"))
    assert (tmp_path / "setting").read_text() == "0"
