from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.hosts import HostError, Name, parse_host


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("_srv.a_b.example", "_srv.a_b.example"),
        ("foo-.example.com", "foo-.example.com"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("\uff45xample.com", "example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("HOST", "host"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("a" * 63 + "." + "b" * 63, "a" * 63 + "." + "b" * 63),
        ("0x.example", "0x.example"),
    ],
)
def test_one_spelling(text: str, canonical: str) -> None:
    assert str(parse_host(text)) == canonical
    assert parse_host(canonical) == parse_host(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a..b", ".a", "a..", "*", "a b", "a/b", "a@b", "a%41", "a\0b", "a,b", "a:80", "a" * 64),
        *(".".join(["a" * 50] * 6), "a" * 300),
        *("127.1", "0x7f.1", "0X7F.1", "2130706433", "0177.0.0.1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4."),
        *("a.1", "a.0x", "0xa9fea9fe", "\uff11.1.1.1", "1\u30021.1.1", "192.0.2.1\u3002", "example\u3002com"),
        *("[192.0.2.1]", "[::1", "::1]", "[]", "[[::1]]", "fe80::1%eth0", "[fe80::1%25eth0]", "::1::", "1:2"),
        *("\u2024.a", "\u00ad", "\ud800", "xn--\u00fc", "\u0338b"),
    ],
)
def test_what_is_read_differently_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)


@given(st.text(max_size=30) | st.text("a.x0127fF:[]%*-_\u3002\uff11 ", max_size=20))
def test_any_text_is_refused_or_comes_back_in_one_plain_spelling(text: str) -> None:
    try:
        host = parse_host(text)
    except HostError:
        return
    assert parse_host(str(host)) == host
    assert str(host).isascii()
    if isinstance(host, Name):
        assert str(host) == str(host).lower()
        with pytest.raises(ValueError, match="does not appear"):
            ipaddress.ip_address(str(host))
    elif isinstance(host, ipaddress.IPv6Address):
        assert host.ipv4_mapped is None
