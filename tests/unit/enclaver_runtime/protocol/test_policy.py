from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime.protocol.hosts import Name, parse_host
from enclaver_runtime.protocol.policy import Allowed, Denied, Policy, PolicyError, parse_entry

GOLDEN = sorted((Path(__file__).parents[3] / "contract" / "policy").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_contracts_requests_are_decided_as_it_says(path: Path) -> None:
    golden = json.loads(path.read_bytes())
    policy = Policy(**golden["canonical"])
    for request in golden["requests"]:
        decision = policy.decide(request["host"], request["port"])
        assert isinstance(decision, Allowed) is request["allowed"], (request, decision)


def test_there_is_a_contract() -> None:
    assert GOLDEN


def reference(allow: list[str], deny: list[str], host: str, port: int) -> bool:
    """The rules once more, in another way: patterns as regular expressions, addresses as numbers."""

    def covers(entry: str, *, named: bool) -> bool:
        pattern, wanted = re.fullmatch(r"(\[.*\](?:/\d+)?|[^:]*)(?::(\d+))?", entry).groups()  # type: ignore[union-attr]  # Always matches.
        if wanted and int(wanted) != port:
            return False
        numeric = re.fullmatch(r"\[?([0-9a-f:.]*[0-9:])\]?(?:/(\d+))?", pattern)
        if numeric and (":" in pattern or pattern.count(".") == 3) and "*" not in pattern:
            if address is None:
                return False
            network = ipaddress.ip_address(numeric[1])
            bits = network.max_prefixlen
            shift = bits - int(numeric[2] or bits)
            return network.version == address.version and int(network) >> shift == int(address) >> shift
        if address is not None or (named and host == "host" and pattern != "host"):
            return False
        expression = re.escape(pattern).replace(r"\*\*", r"[^.]+(\.[^.]+)*").replace(r"\*", r"[^.]+")
        return re.fullmatch(expression, host) is not None

    address = None
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        address = ipaddress.ip_address(host)
    return any(covers(entry, named=True) for entry in allow) and not any(covers(entry, named=False) for entry in deny)


LABEL = st.sampled_from(["a", "b", "host", "c-d", "_e", "x1"])
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PATTERN = st.builds(
    lambda head, labels: ".".join(head + labels),
    st.sampled_from([[], [], ["**"]]),
    st.lists(LABEL | st.just("*"), min_size=1, max_size=3),
) | st.just("**")
V4 = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.1.1", "192.0.2.1", "127.0.0.1"])
V6 = st.sampled_from(["2001:db8::1", "2001:db8::2", "2001:db8:1::1", "::1"])
NETWORK = st.builds(lambda text, size: ipaddress.ip_network(f"{text}/{size}", strict=False), V4, st.integers(0, 32)) | (
    st.builds(lambda text, size: ipaddress.ip_network(f"{text}/{size}", strict=False), V6, st.integers(0, 128))
)


def canonical(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    address = str(network.network_address)
    text = f"[{address}]" if network.version == 6 else address
    return text if network.prefixlen == network.max_prefixlen else f"{text}/{network.prefixlen}"


ENTRY = st.builds(
    lambda host, port: host + port, PATTERN | NETWORK.map(canonical), st.sampled_from(["", "", ":80", ":443"])
)


@given(st.lists(ENTRY, max_size=4), st.lists(ENTRY, max_size=2), NAME | V4 | V6, st.sampled_from([80, 443, 8080]))
def test_policies_agree_with_the_reference(allow: list[str], deny: list[str], host: str, port: int) -> None:
    decision = Policy(allow=allow, deny=deny).decide(host, port)
    assert isinstance(decision, Allowed) is reference(allow, deny, host, port)
    if isinstance(decision, Allowed):
        assert decision.rule in allow


def spellings(host: str) -> list[str]:
    """Other ways in which clients write a host that mean the same."""
    if ":" in host:
        return [host.upper(), f"[{host}]", ipaddress.IPv6Address(host).exploded]
    if re.fullmatch(r"[0-9.]+", host):
        return [f"::ffff:{host}", f"[::FFFF:{host}]"]
    return [host.upper(), f"{host}.", host.title(), host.replace("a", "\uff41").replace(".", "\u3002")[: len(host)]]


@given(
    st.lists(ENTRY, max_size=4),
    st.lists(ENTRY, max_size=2),
    (NAME | V4 | V6).flatmap(lambda host: st.tuples(st.just(host), st.sampled_from(spellings(host)))),
    st.sampled_from([80, 443]),
)
def test_a_host_is_the_same_however_it_is_spelt(
    allow: list[str], deny: list[str], spelt: tuple[str, str], port: int
) -> None:
    policy = Policy(allow=allow, deny=deny)
    host, other = spelt
    if "\u3002" in other:
        # The ideographic full stop is a dot to some resolvers only, so it is refused.
        assert isinstance(policy.decide(other, port), Denied)
    else:
        assert policy.decide(other, port) == policy.decide(host, port)


@given(ENTRY)
def test_canonical_entries_are_read(entry: str) -> None:
    assert parse_entry(entry).text == entry


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "",
            "Example.com",
            "example.com.",
            "a..b",
            "a.**",
            "**.**",
            "*a",
            "***",
            "a:0",
            "a:080",
            "a:65536",
            "a:",
            ":80",
        ),
        *("1.2.3", "01.2.3.4", "1.2.3.4/32", "1.2.3.4/33", "1.2.3.4/8", "1.2.3.4/08", "a.1", "a.0x1", "1.2.3.256"),
        *(
            "::1",
            "[::1",
            "[::1]/128",
            "[0:0::1]",
            "[2001:DB8::1]",
            "[::1]80",
            "[1.2.3.4]",
            "[2001:db8::1]/32",
            "[::%1]",
        ),
        *("b\u00fccher.example", "a b", "a/8", "a\n", "http://a", "\u0661.2.3.4"),
    ],
)
def test_other_spellings_of_entries_are_errors(entry: str) -> None:
    with pytest.raises(PolicyError, match="not a canonical egress entry"):
        Policy(allow=[entry])


def test_decisions_name_their_rule() -> None:
    policy = Policy(allow=["**.example"], deny=["*.bad.example:443"])
    assert policy.decide("A.example.", 443) == Allowed(Name(("a", "example")), "**.example")
    assert policy.decide("a.bad.example", 443) == Denied("egress.deny has *.bad.example:443")
    assert policy.decide("other.test", 1) == Denied("nothing in egress.allow covers other.test port 1")
    assert policy.decide("0x7f.1", 1) == Denied("'0x7f.1' is no IPv4 address of four plain decimal numbers")


def resolved(address: str, *, allow: list[str], deny: list[str] = [], host: str = "a.example") -> str:  # noqa: B006
    policy = Policy(allow=allow, deny=deny)
    decision = policy.decide(host, 443)
    assert isinstance(decision, Allowed), decision
    after = policy.decide_resolved(decision, ipaddress.ip_address(address), 443)
    return str(after.host) if isinstance(after, Allowed) else after.reason


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
    ],
)
def test_names_do_not_lead_inside(address: str, kind: str) -> None:
    assert f"a {kind} address" in resolved(address, allow=["**"])


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1", "64:ff9b::c000:201"])
def test_names_lead_outside(address: str) -> None:
    assert resolved(address, allow=["**"]) == address


def test_an_address_that_is_allowed_itself_may_be_a_names() -> None:
    assert resolved("169.254.169.254", allow=["**", "169.254.0.0/16"]) == "169.254.169.254"
    assert resolved("169.254.169.254", allow=["**", "169.254.169.254:443"]) == "169.254.169.254"
    assert "link-local" in resolved("169.254.169.254", allow=["**", "169.254.169.254:80"])
    assert "link-local" in resolved("169.254.169.254", allow=["**", "[::]/0"])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"])
def test_names_do_not_lead_to_what_is_denied(address: str) -> None:
    assert "egress.deny has 10.0.0.0/8" in resolved(address, allow=["**", "0.0.0.0/0", "[::]/0"], deny=["10.0.0.0/8"])


def test_a_denied_address_is_denied_behind_a_translator() -> None:
    policy = Policy(allow=["[::]/0"], deny=["169.254.169.254"])
    assert isinstance(policy.decide("64:ff9b::169.254.169.254", 80), Denied)


def test_host_leads_to_the_parents_loopback_unless_that_is_denied() -> None:
    assert resolved("127.0.0.1", allow=["host"], host="host") == "127.0.0.1"
    assert "egress.deny has 127.0.0.0/8" in resolved("127.0.0.1", allow=["host"], deny=["127.0.0.0/8"], host="host")


@given(st.lists(ENTRY, max_size=4), st.lists(ENTRY, max_size=2), V4 | V6, st.sampled_from([80, 443]))
def test_what_is_allowed_by_address_is_allowed_once_more(
    allow: list[str], deny: list[str], host: str, port: int
) -> None:
    policy = Policy(allow=allow, deny=deny)
    decision = policy.decide(host, port)
    if isinstance(decision, Allowed):
        address = parse_host(host)
        assert not isinstance(address, Name)
        assert policy.decide_resolved(decision, address, port) == decision
