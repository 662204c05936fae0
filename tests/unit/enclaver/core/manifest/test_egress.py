from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.egress import parse_entry, parse_host
from enclaver.core.manifest.problems import TextError

# The grammar that docs/manifest.md gives the runtime's authors, as one expression.
_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
CANONICAL = re.compile(
    rf"((\*\*|\*|{_LABEL})(\.(\*|{_LABEL}))*|\d+\.\d+\.\d+\.\d+(/\d+)?|\[[0-9a-f:]+\](/\d+)?)(:[1-9]\d*)?"
)

LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,6}[a-z0-9_])?", fullmatch=True)
NAMES = st.builds(
    lambda labels, top: ".".join([*labels, top]),
    st.lists(LABELS, max_size=4),
    st.sampled_from(["com", "example", "host"]),
)
PATTERNS = st.builds(
    lambda first, labels, top: ".".join([first, *labels, top]),
    st.sampled_from(["*", "**"]),
    st.lists(st.one_of(LABELS, st.just("*")), max_size=3),
    st.sampled_from(["com", "example"]),
)
ADDRESSES = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6, network="2000::/3").map(lambda a: f"[{a}]")
NETWORKS = st.sampled_from(["0.0.0.0/0", "::/0", "10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "[2001:db8::]/48"])
ENTRIES = st.builds(
    lambda host, port: host if port is None or host.startswith("::") else f"{host}:{port}",
    st.one_of(NAMES, PATTERNS, ADDRESSES, NETWORKS, st.sampled_from(["*", "**", "*.*.*.*"])),
    st.none() | st.integers(1, 65535),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        # What real manifests hold.
        ("*", "*"),
        ("**", "**"),
        ("**.amazonaws.com", "**.amazonaws.com"),
        ("kms.*.amazonaws.com", "kms.*.amazonaws.com"),
        ("*.*.*.*", "*.*.*.*"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "[::]/0"),
        ("0.0.0.0/0:443", "0.0.0.0/0:443"),
        ("165.232.133.47:3031", "165.232.133.47:3031"),
        ("host", "host"),
        # Spellings of the same.
        ("Example.COM.", "example.com"),
        ("example.com:443", "example.com:443"),
        ("HOST:80", "host:80"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("**.B\u00dcCHER.example:8443", "**.xn--bcher-kva.example:8443"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_dmarc.a_b.example", "_dmarc.a_b.example"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8:0:0::1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("2001:db8::/32:443", "[2001:db8::]/32:443"),
        ("[2001:db8::]/32:443", "[2001:db8::]/32:443"),
        ("[2001:db8::/32]:443", "[2001:db8::]/32:443"),
        ("::1/128", "[::1]"),
        ("a.1e5", "a.1e5"),
        ("1.2.example", "1.2.example"),
    ],
)
def test_canonical_forms(text: str, canonical: str) -> None:
    assert parse_entry(text).text == canonical


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("a.com - b.com", "`- a.com`, `- b.com`"),
        ("- a.com", "`- a.com`"),
        ("a.com b.com", "`- a.com`, `- b.com`"),
        ("a.com,b.com", "`- a.com`, `- b.com`"),
        (" a.com", "`- a.com`"),
        ("https://example.com", "only the host: `example.com`"),
        ("https://user:pw@example.com:8443/path?q#f", "only the host: `example.com:8443`"),
        ("https://", "only the host"),
        ("user@example.com", "only the host: `example.com`"),
        ("example.com/path", "write only `example.com`"),
        ("example.com/", "write only `example.com`"),
        ("example.com:443/path", "`443/path` is no port"),
        ("example.com/24", "prefix length, which only an address"),
        ("example.com:", "is no port"),
        ("example.com:0", "is no port"),
        ("example.com:080", "is no port"),
        ("example.com:65536", "from 1 to 65535"),
        ("example.com:80-90", "is no port"),
        ("example.com:*", "leave `:*` out"),
        (":443", "no host"),
        ("[::1", "`[::1]`"),
        ("[::1]x", "cannot follow"),
        ("[::1]x:443", "cannot follow"),
        ("[10.0.0.1]:80", "write `10.0.0.1:80`"),
        ("[::1]:", "is no port"),
        ("a:b:c", "not an IPv6 address"),
        ("x" * 2000, "too long"),
    ],
)
def test_what_is_no_entry(text: str, words: str) -> None:
    with pytest.raises(TextError) as caught:
        parse_entry(text)
    assert words in f"{caught.value.message} | {caught.value.cure}"


@settings(deadline=None)
@given(ENTRIES)
def test_canonical_forms_are_canonical(text: str) -> None:
    entry = parse_entry(text)
    assert CANONICAL.fullmatch(entry.text)
    assert parse_entry(entry.text) == entry


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("*.:/[]01af \u00fc\u3002\uff11x-", max_size=30))
def test_any_text_is_an_entry_with_a_canonical_form_or_refused(text: str) -> None:
    try:
        entry = parse_entry(text)
    except TextError:
        return
    assert CANONICAL.fullmatch(entry.text)
    assert parse_entry(entry.text) == entry


def test_a_host_is_one_host() -> None:
    assert parse_host("KMS.example:8443") == "kms.example:8443"
    assert parse_host("10.0.0.1") == "10.0.0.1"
    for text in ("*.example", "**", "a.*.b", "10.0.0.0/8", "::/0"):
        with pytest.raises(TextError, match="more than one host"):
            parse_host(text)
