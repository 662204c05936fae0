from __future__ import annotations

import pytest

from enclaver.core.manifest.document import compose
from enclaver.core.manifest.ports import RESERVED_VSOCK, PortUse, check_ports
from enclaver.core.manifest.problems import Place
from enclaver.core.manifest.reader import Report


def messages(*uses: PortUse) -> list[str]:
    report = Report(compose(b"a: 1\nb: 2\nc: 3\n", "f"))
    check_ports(uses, report)
    return [problem.render("f") for problem in report.problems]


def test_distinct_ports_are_fine() -> None:
    assert messages(PortUse(80, "a", Place(1, 1), ingress=True), PortUse(81, "b", Place(2, 1))) == []


def test_the_later_place_is_blamed_whatever_the_order_of_reading() -> None:
    (message,) = messages(PortUse(80, "later", Place(2, 1)), PortUse(80, "first", Place(1, 1), ingress=True))
    assert message.startswith("f:2:1: port 80 is taken by `first` on line 1")


def test_each_further_use_is_a_problem() -> None:
    assert len(messages(*(PortUse(80, f"k{line}", Place(line, 1)) for line in (1, 2, 3)))) == 2


def test_a_default_is_named_as_one() -> None:
    (message,) = messages(
        PortUse(10000, "ingress[0].listen_port", Place(1, 1), ingress=True),
        PortUse(10000, "egress.proxy_port", Place(2, 1), implied=True),
    )
    assert message.startswith("f:1:1: port 10000 is taken by the default of `egress.proxy_port`")
    assert "or set `egress.proxy_port`" in message


@pytest.mark.parametrize("port", sorted(RESERVED_VSOCK))
def test_the_runtimes_vsock_ports_are_no_ingress_ports(port: int) -> None:
    (message,) = messages(PortUse(port, "a", Place(1, 1), ingress=True))
    assert f"port {port} is the runtime's own vsock port, for {RESERVED_VSOCK[port]}" in message
    assert messages(PortUse(port, "a", Place(1, 1))) == []


def test_the_heartbeats_port_is_the_parents() -> None:
    assert messages(PortUse(9000, "a", Place(1, 1), ingress=True)) == []
