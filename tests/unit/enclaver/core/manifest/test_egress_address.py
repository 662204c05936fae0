from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.egress_address import ipv4, ipv6, looks_like_ipv4
from enclaver.core.manifest.problems import TextError


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", True),
        ("127.1", True),
        ("2130706433", True),
        ("0x7f000001", True),
        ("0x", True),
        ("a.b.3", True),
        ("10.0.*.*", True),
        ("10.*", True),
        ("1.2.3.4.", True),
        ("*.*.*.*", False),
        ("*", False),
        ("1.2.3.com", False),
        ("10.a.*", False),
        ("", False),
    ],
)
def test_what_can_only_be_meant_as_an_address(host: str, expected: bool) -> None:
    assert looks_like_ipv4(host) is expected


@pytest.mark.parametrize(
    ("text", "prefix", "words"),
    [
        ("010.0.0.1", None, "`8.0.0.1`"),
        ("127.1", None, "`127.0.0.1`"),
        ("127.0.1", None, "`127.0.0.1`"),
        ("2130706433", None, "`127.0.0.1`"),
        ("0x7f.0.0.1", None, "`127.0.0.1`"),
        ("0x7F000001", None, "`127.0.0.1`"),
        ("08.0.0.1", None, "from 0 to 255"),
        ("256.0.0.1", None, "from 0 to 255"),
        ("1.2.3.4.5", None, "from 0 to 255"),
        ("a.b.3", None, "from 0 to 255"),
        ("0x.1", None, "from 0 to 255"),
        ("9999999999999", None, "from 0 to 255"),
        ("10.0.*.*", None, "`10.0.0.0/16`"),
        ("10.*.*.*", None, "`10.0.0.0/8`"),
        ("10.*", None, "such as"),
        ("10.*.0.1", None, "such as"),
        ("10.0.0.1", "8", "write `10.0.0.0/8`"),
        ("66.254.33.22", "24", "write `66.254.33.0/24`"),
        ("10.0.0.0", "33", "from 0 to 32"),
        ("10.0.0.0", "08", "from 0 to 32"),
        ("10.0.0.0", "", "from 0 to 32"),
        ("10.0.0.0", "path", "a path cannot be given"),
        ("10.0.0.0", "255.0.0.0", "write `10.0.0.0/8`"),
        ("10.0.0.0", "255.0.255.0", "from 0 to 32"),
    ],
)
def test_odd_ipv4_is_refused_with_its_plain_form(text: str, prefix: str | None, words: str) -> None:
    with pytest.raises(TextError) as caught:
        ipv4(text, prefix)
    assert words in f"{caught.value.message} | {caught.value.cure}"


@pytest.mark.parametrize(
    ("text", "prefix", "words"),
    [
        ("fe80::1%eth0", None, "zone"),
        ("::ffff:10.0.0.1", None, "write `10.0.0.1`"),
        ("::ffff:a00:1", None, "write `10.0.0.1`"),
        ("::ffff:10.0.0.0", "104", "write `10.0.0.0/8`"),
        ("2001:db8::1", "32", "write `2001:db8::/32`"),
        ("2001:db8::", "129", "from 0 to 128"),
        ("2001:db8:::", None, "not an IPv6 address"),
        ("2001:db8::1::", None, "not an IPv6 address"),
        ("::g", None, "not an IPv6 address"),
    ],
)
def test_odd_ipv6_is_refused(text: str, prefix: str | None, words: str) -> None:
    with pytest.raises(TextError) as caught:
        ipv6(text, prefix)
    assert words in f"{caught.value.message} | {caught.value.cure}"


def test_a_network_that_only_contains_the_mapped_range_is_taken() -> None:
    assert ipv6("::", "0") == ipaddress.ip_network("::/0")
    assert ipv6("::fffe:0:0", "95") == ipaddress.ip_network("::fffe:0:0/95")


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_ipv4_networks_as_the_standard_library_reads_them(address: ipaddress.IPv4Address, prefix: int) -> None:
    network = ipaddress.IPv4Network((address, prefix), strict=False)
    assert ipv4(str(network.network_address), str(prefix)) == network


@settings(deadline=None)
@given(st.ip_addresses(v=6, network="2000::/3"), st.integers(0, 128))
def test_ipv6_networks_as_the_standard_library_reads_them(address: ipaddress.IPv6Address, prefix: int) -> None:
    network = ipaddress.IPv6Network((address, prefix), strict=False)
    assert ipv6(str(network.network_address), str(prefix)) == network
