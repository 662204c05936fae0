"""Entries of ``egress.allow`` and ``egress.deny``: parsed here, obeyed by the runtime.

What an entry may look like is generous in the manifest and narrow in runtime.json: ``EgressEntry.text`` is
the one canonical spelling, whose grammar (docs/manifest.md) is all that the runtime parses. An entry covers
either names or addresses, never both: ``**`` covers every name and no address.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from enclaver.core.manifest import egress_address, egress_name
from enclaver.core.manifest.egress_address import Network
from enclaver.core.manifest.problems import TextError, quote

LONGEST_ENTRY = 1024
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class NamePattern:
    """Domain labels, lower case and ASCII: ``*`` is any one label, ``**`` (first only) one or more."""

    labels: tuple[str, ...]

    @property
    def text(self) -> str:
        """The canonical form."""
        return ".".join(self.labels)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """An address or a network of either family; IPv4-mapped IPv6 addresses do not occur."""

    network: Network

    @property
    def text(self) -> str:
        """The canonical form: IPv6 in brackets, the prefix only where it is not the full length."""
        address = str(self.network.network_address)
        if isinstance(self.network, ipaddress.IPv6Network):
            address = f"[{address}]"
        full = self.network.prefixlen == self.network.max_prefixlen
        return address if full else f"{address}/{self.network.prefixlen}"


@dataclass(frozen=True, slots=True)
class EgressEntry:
    """One entry; without a port it covers every port."""

    host: NamePattern | AddressRange
    port: int | None = None

    @property
    def text(self) -> str:
        """The canonical form, as runtime.json has it."""
        return self.host.text if self.port is None else f"{self.host.text}:{self.port}"


def parse_entry(text: str) -> EgressEntry:
    """Parse one entry as a manifest may write it.

    Raises:
        TextError: it is none; says why and what to write instead.
    """
    _refuse_foreign(text)
    if text.startswith("["):
        host, port = _split_brackets(text)
    else:
        host, port = _split_port(text)
    number = _port(port) if port is not None else None
    address, slash, prefix = host.partition("/")
    if ":" in address:
        return EgressEntry(AddressRange(egress_address.ipv6(address, prefix if slash else None)), number)
    if egress_address.looks_like_ipv4(address):
        return EgressEntry(AddressRange(egress_address.ipv4(address, prefix if slash else None)), number)
    if slash and prefix.isdecimal():
        raise TextError(f"{quote(text)} has a prefix length, which only an address can have", f"write {quote(address)}")
    if slash:
        raise _path_error(text, address)
    return EgressEntry(NamePattern(egress_name.labels(address)), number)


def parse_host(text: str) -> str:
    """Parse one host with an optional port, without wildcards or prefix; returns its canonical form.

    Raises:
        TextError: it is none.
    """
    entry = parse_entry(text)
    if isinstance(entry.host, NamePattern):
        if not entry.host.labels[0].startswith("*") and "*" not in entry.host.labels:
            return entry.text
    elif entry.host.network.num_addresses == 1:
        return entry.text
    raise TextError(f"{quote(text)} covers more than one host", "write the name of one host")


def _refuse_foreign(text: str) -> None:
    """Refuse what is no host at all: empty text, several entries in one, URLs."""
    if not text.strip():
        raise TextError("an egress entry is empty", "remove it, or write a host, an address or a network")
    if " - " in text or text.startswith("- "):
        hosts = [part.strip() for part in re.split(r"(?:^|\s)-\s", text) if part.strip()]
        raise TextError(
            f"{quote(text)} is a list that YAML read as one entry",
            f"align the dashes, one entry a line: {', '.join(f'`- {host}`' for host in hosts[:4])}",
        )
    if re.search(r"\s", text) or "," in text:
        hosts = [part for part in re.split(r"[\s,]+", text) if part]
        raise TextError(
            f"{quote(text)} is not one host",
            f"write one entry a line: {', '.join(f'`- {host}`' for host in hosts[:4])}",
        )
    if len(text) > LONGEST_ENTRY:
        raise TextError(f"{quote(text)} is too long to be a host", "write one host an entry")
    if found := _SCHEME.match(text):
        rest = text[found.end() :]
        raise TextError(f"{quote(text)} is a URL; egress knows hosts, not URLs", _host_cure(rest))
    if "@" in text:
        raise TextError(
            f"{quote(text)} has a user before the `@`; egress knows only hosts",
            _host_cure(text.rpartition("@")[2]),
        )


def _host_cure(url_rest: str) -> str:
    host = re.split(r"[/?#]", url_rest, maxsplit=1)[0].rpartition("@")[2]
    return f"write only the host: {quote(host)}" if host else "write only the host"


def _path_error(text: str, host: str) -> TextError:
    return TextError(f"{quote(text)} has a path; egress knows only hosts", f"write only {quote(host)}")


def _split_brackets(text: str) -> tuple[str, str | None]:
    """``[v6]``, ``[v6]/64``, ``[v6]:443``, ``[v6]/64:443`` and, as some write it, ``[v6/64]``."""
    inside, closing, rest = text[1:].partition("]")
    if not closing:
        raise TextError(f"{quote(text)} lacks its `]`", f"write {quote(text + ']')}")
    if ":" not in inside:
        raise TextError(f"the brackets of {quote(text)} hold no IPv6 address", f"write {quote(inside + rest)}")
    prefix, colon, port = rest.partition(":")
    if prefix and not prefix.startswith("/"):
        raise TextError(
            f"{quote(prefix)} cannot follow the `]` of {quote(text)}",
            "write `[address]`, `[address]/prefix` or either with `:port`",
        )
    return inside + prefix, port if colon else None


def _split_port(text: str) -> tuple[str, str | None]:
    if text.count(":") <= 1:
        host, colon, port = text.partition(":")
        return host, port if colon else None
    # More colons: an IPv6 address without brackets, whose port can only follow a prefix length.
    address, slash, rest = text.partition("/")
    prefix, colon, port = rest.partition(":")
    return address + slash + prefix, port if colon else None


def _port(text: str) -> int:
    if _PORT.fullmatch(text) and int(text) <= 65535:
        return int(text)
    if text == "*":
        raise TextError("`:*` is no port", "leave `:*` out: an entry without a port covers every port")
    if "/" in text:
        raise TextError(f"{quote(text)} is no port", "a prefix length stands before the port; a path cannot be given")
    raise TextError(f"{quote(text)} is no port", "write one number from 1 to 65535, or leave the port out")
