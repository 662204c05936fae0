"""Hosts as clients spell them, in the one spelling that policies are about.

What two programs could read as different hosts is refused, not guessed: a policy that takes ``0x7f.1`` for a
name, before a resolver that takes it for 127.0.0.1, would have a hole.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 1035, 2.3.4.
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
# Names in use have underscores, and hyphens at their labels' ends, although hosts should not.
_LABEL = re.compile(r"[a-z0-9_-]+")
# url.spec.whatwg.org, "ends in a number": no top-level domain is one, so an address is meant.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class HostError(ValueError):
    """It is no host, or one that programs read differently; the text says why."""


@dataclass(frozen=True, slots=True)
class Name:
    """A domain name: its labels, left to right, in lower case and ASCII, without the root's dot."""

    labels: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.labels)


Host = Name | Address


def parse_host(text: str) -> Host:
    """Read a host: a name, an IPv4 address, an IPv6 address with or without brackets.

    Case, one dot at the end and international letters (IDNA 2008 with the mapping of UTS 46) are brought into
    one form, and IPv4-mapped IPv6 addresses become IPv4 addresses. ``str()`` of the result is that form.

    Raises:
        HostError: it is none: a malformed or overlong name, an IPv4 address in another spelling than four plain
            decimal numbers, an IPv6 address with a zone.
    """
    if len(text) > _LONGEST_NAME + 1:
        raise HostError(f"a host of {len(text)} characters is too long")
    if ":" in text or text.startswith("["):
        return _ipv6(text)
    labels = tuple(_label(label, text) for label in text.removesuffix(".").split("."))
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(text)
    name = Name(labels)
    if len(str(name)) > _LONGEST_NAME:
        raise HostError(f"{text!a} is too long for a name")
    return name


def _label(label: str, text: str) -> str:
    if len(label) <= _LONGEST_LABEL:
        try:
            ascii_label = label.lower() if label.isascii() else _to_ascii(label)
        except idna.IDNAError as error:
            raise HostError(f"{text!a} is no international name: {error}") from None
        if len(ascii_label) <= _LONGEST_LABEL and _LABEL.fullmatch(ascii_label):
            return ascii_label
    raise HostError(f"{text!a} is no host")


def _to_ascii(label: str) -> str:
    return idna.encode(label, uts46=True, std3_rules=True).decode("ascii")


def _ipv4(text: str) -> Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise HostError(f"{text!a} is no IPv4 address of four plain decimal numbers") from None


def _ipv6(text: str) -> Address:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.IPv6Address(bare)
    except ValueError:
        raise HostError(f"{text!a} is no host") from None
    if address.scope_id is not None:
        raise HostError(f"{text!a} names a zone, which means nothing outside of the enclave")
    return address.ipv4_mapped or address
