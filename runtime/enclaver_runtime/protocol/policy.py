"""What may be reached from inside: the entries of runtime.json's ``egress``, and the decisions they make.

Both sides enforce the same policy: the enclave, where it is measured, and the parent, which alone knows the
addresses that a name resolves to. A decision is a value that names the rule that made it. docs/manifest.md
has the entries' grammar, docs/runtime.md the rules.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from enclaver_runtime.protocol.hosts import Address, Host, HostError, Name, parse_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The name of the parent's own loopback.
PARENT = Name(("host",))

_ENTRY = re.compile(
    r"""(?: \[ (?P<v6> [0-9a-f:.]+ ) \] (?: / (?P<v6_prefix> [0-9]{1,3} ) )?
          | (?P<v4> [0-9]+ (?: \.[0-9]+ ){3} ) (?: / (?P<v4_prefix> [0-9]{1,2} ) )?
          | (?P<name> (?: \*\* | \* | [a-z0-9_-]+ ) (?: \. (?: \* | [a-z0-9_-]+ ) )* )
        ) (?: : (?P<port> [1-9][0-9]{0,4} ) )?""",
    re.VERBOSE | re.ASCII,
)

# Addresses that are not the world outside, where a name may lead only if an entry of ``allow`` covers the
# address itself. 0.0.0.0 and :: mean this host to connect(2). fd00:ec2::/32 has AWS's IPv6 metadata services.
_GUARDED: tuple[tuple[str, Network], ...] = (
    ("loopback", ipaddress.IPv4Network("127.0.0.0/8")),
    ("loopback", ipaddress.IPv6Network("::1")),
    ("loopback", ipaddress.IPv4Network("0.0.0.0/8")),
    ("loopback", ipaddress.IPv6Network("::")),
    ("link-local", ipaddress.IPv4Network("169.254.0.0/16")),
    ("link-local", ipaddress.IPv6Network("fe80::/10")),
    ("metadata", ipaddress.IPv6Network("fd00:ec2::/32")),
)

# RFC 6052: a translator on the way takes such an address for the IPv4 address in its last 32 bits.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class PolicyError(ValueError):
    """An entry is not of the canonical form; the text names it."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be reached: ``host`` in its one spelling, and the entry that allows it."""

    host: Host
    rule: str


@dataclass(frozen=True, slots=True)
class Denied:
    """It may not be reached; ``reason`` names the rule."""

    reason: str


Decision = Allowed | Denied


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of ``allow`` or ``deny``: the labels of a name's pattern, or a network; one port, or all."""

    text: str
    host: tuple[str, ...] | Network
    port: int | None

    def covers(self, host: Host, port: int) -> bool:
        """Whether the entry covers this host and port, wildcards and all."""
        if self.port not in (None, port):
            return False
        if isinstance(self.host, tuple):
            return isinstance(host, Name) and _matches(self.host, host.labels)
        return not isinstance(host, Name) and host in self.host


def parse_entry(text: str) -> Entry:
    """Read an entry in its canonical form.

    Raises:
        PolicyError: it is not in it.
    """
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise PolicyError(f"not a canonical egress entry: {text!r}")
    port = int(found["port"]) if found["port"] else None
    host: tuple[str, ...] | Network
    try:
        if found["v6"]:
            host = ipaddress.IPv6Network(found["v6"] + ("/" + found["v6_prefix"] if found["v6_prefix"] else ""))
        elif found["v4"]:
            host = ipaddress.IPv4Network(found["v4"] + ("/" + found["v4_prefix"] if found["v4_prefix"] else ""))
        else:
            host = tuple(found["name"].split("."))
    except ValueError as error:
        raise PolicyError(f"not a canonical egress entry: {text!r} ({error})") from error
    entry = Entry(text, host, port)
    # One spelling for each thing: what does not come back as it was written was meant for another grammar.
    if _render(entry) != text or (port or 1) > 65535:
        raise PolicyError(f"not a canonical egress entry: {text!r}")
    return entry


class Policy:
    """Deny by default, and deny beats allow.

    Args:
        allow, deny: entries in their canonical form, as runtime.json has them.

    Raises:
        PolicyError: an entry is not in it.
    """

    def __init__(self, *, allow: Iterable[str], deny: Iterable[str] = ()) -> None:
        self._allow = tuple(parse_entry(text) for text in allow)
        self._deny = tuple(parse_entry(text) for text in deny)

    def decide(self, host: str, port: int) -> Decision:
        """Whether a client may reach ``host``, as the client spells it, at TCP port ``port``."""
        try:
            parsed = parse_host(host)
        except HostError as error:
            return Denied(str(error))
        if entry := self._denying(parsed, port):
            return Denied(f"egress.deny has {entry.text}")
        for entry in self._allow:
            # The parent's loopback is no part of the world that wildcards are about: it must be named.
            if entry.covers(parsed, port) and (parsed != PARENT or entry.host == PARENT.labels):
                return Allowed(parsed, entry.text)
        return Denied(f"nothing in egress.allow covers {parsed} port {port}")

    def decide_resolved(self, allowed: Allowed, address: Address, port: int) -> Decision:
        """Whether a host that is allowed may be reached at ``address``, which it resolved to.

        Not where ``deny`` has the address; and not at an address that only this machine or its network
        knows (loopback, link-local, metadata), unless ``allow`` covers that very address.
        """
        address = _unmapped(address)
        if entry := self._denying(address, port):
            return Denied(f"{allowed.host} is {address}, and egress.deny has {entry.text}")
        by_address = any(entry.covers(address, port) for entry in self._allow)
        if allowed.host != PARENT and not by_address:
            for form in _forms(address):
                for kind, network in _GUARDED:
                    if form in network:
                        return Denied(
                            f"{allowed.host} is {address}, a {kind} address that egress.allow does not cover itself"
                        )
        return Allowed(address, allowed.rule)

    def _denying(self, host: Host, port: int) -> Entry | None:
        forms: tuple[Host, ...] = (host,) if isinstance(host, Name) else _forms(host)
        return next((entry for entry in self._deny if any(entry.covers(form, port) for form in forms)), None)


def _matches(pattern: tuple[str, ...], labels: tuple[str, ...]) -> bool:
    if pattern[0] == "**":
        rest = pattern[1:]
        # One label at the least for the stars, so that the name is longer than what follows them.
        return len(labels) > len(rest) and _matches_each(rest, labels[len(labels) - len(rest) :])
    return len(pattern) == len(labels) and _matches_each(pattern, labels)


def _matches_each(pattern: tuple[str, ...], labels: tuple[str, ...]) -> bool:
    return all(part in ("*", label) for part, label in zip(pattern, labels, strict=True))


def _render(entry: Entry) -> str:
    if isinstance(entry.host, tuple):
        text = ".".join(entry.host)
        # A number as the last label would make an address of it.
        if re.search(r"(^|\.)([0-9]+|0x[0-9a-f]*)$", text):
            return ""
    else:
        text = str(entry.host.network_address)
        if isinstance(entry.host, ipaddress.IPv6Network):
            text = f"[{text}]"
        if entry.host.prefixlen != entry.host.max_prefixlen:
            text = f"{text}/{entry.host.prefixlen}"
    return text if entry.port is None else f"{text}:{entry.port}"


def _unmapped(address: Address) -> Address:
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _forms(address: Address) -> tuple[Address, ...]:
    """The address, and the one that a translator makes of it."""
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,)
