"""IPv4 and IPv6 addresses and networks of egress entries, with every ambiguous spelling refused.

An address that two programs read differently is a hole in a policy: ``010.0.0.1`` is 8.0.0.1 to C's
``inet_aton`` and 10.0.0.1 to others. So only the one plain spelling is taken.
"""

from __future__ import annotations

import ipaddress
import re

from enclaver.core.manifest.problems import TextError, quote

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def looks_like_ipv4(host: str) -> bool:
    """Whether a host can only be meant as an IPv4 address, well spelled or not.

    No top-level domain is a number, so a last label that is one decides, as in the URL standard
    (url.spec.whatwg.org, "ends in a number"); ``10.0.*.*`` is meant as an address, too.
    """
    labels = host.rstrip(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return True
    return bool(_NUMBER.fullmatch(labels[0])) and labels[-1] == "*" and _numbers_or_stars(labels)


def _numbers_or_stars(labels: list[str]) -> bool:
    return all(label == "*" or _NUMBER.fullmatch(label) for label in labels)


def ipv4(text: str, prefix: str | None) -> ipaddress.IPv4Network:
    """An IPv4 address, or a network when ``prefix`` is given.

    Raises:
        TextError: a spelling that is not four plain decimal numbers, or a network with host bits set.
    """
    labels = text.split(".")
    if "*" in labels:
        raise TextError(f"{quote(text)} has a wildcard within an address", _wildcard_cure(labels))
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise TextError(f"{quote(text)} is not a plain IPv4 address", _ipv4_cure(text)) from None
    length = 32 if prefix is None else _prefix(text, prefix, 32)
    network = ipaddress.IPv4Network((address, length), strict=False)
    if network.network_address != address:
        raise _host_bits_error(f"{text}/{length}", str(network))
    return network


def ipv6(text: str, prefix: str | None) -> ipaddress.IPv6Network:
    """An IPv6 address without its brackets, or a network when ``prefix`` is given.

    Raises:
        TextError: no address, one with a zone, one that is an IPv4 address in disguise, host bits set.
    """
    if "%" in text:
        raise TextError(f"{quote(text)} names a zone, which only this machine knows", "write the address alone")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise TextError(
            f"{quote(text)} is not an IPv6 address",
            "write eight groups, or fewer with `::`; a port follows brackets: `[2001:db8::1]:443`",
        ) from None
    length = 128 if prefix is None else _prefix(text, prefix, 128)
    network = ipaddress.IPv6Network((address, length), strict=False)
    if address.ipv4_mapped is not None and network.subnet_of(_MAPPED):
        # The connection is an IPv4 one; two spellings of one address would need two entries.
        suffix = "" if prefix is None else f"/{length - 96}"
        raise TextError(f"{quote(text)} is an IPv4 address written as IPv6", f"write `{address.ipv4_mapped}{suffix}`")
    if network.network_address != address:
        raise _host_bits_error(f"{text}/{length}", str(network))
    return network


def _host_bits_error(text: str, network: str) -> TextError:
    # Taking it would hide a slip: the writer meant either the one address or another prefix length.
    return TextError(f"{quote(text)} has bits set after its prefix", f"write {quote(network)}, or the address alone")


def _prefix(text: str, prefix: str, longest: int) -> int:
    if _PREFIX.fullmatch(prefix) and int(prefix) <= longest:
        return int(prefix)
    if longest == 32 and "." in prefix:
        try:
            length = ipaddress.IPv4Network((0, prefix)).prefixlen
        except ValueError:
            pass
        else:
            raise TextError(f"{quote(text + '/' + prefix)} gives its network as a mask", f"write `{text}/{length}`")
    raise TextError(
        f"{quote('/' + prefix)} is neither a prefix length nor anything else an entry has",
        f"write a number from 0 to {longest} after the `/`, or remove it; a path cannot be given",
    )


def _wildcard_cure(labels: list[str]) -> str:
    given = [label for label in labels if label != "*"]
    trailing = len(labels) == 4 and labels[len(given) :] == ["*"] * (4 - len(given))
    if trailing and all(re.fullmatch(r"0|[1-9][0-9]{0,2}", label) and int(label) < 256 for label in given):
        return f"write the network: `{'.'.join(given + ['0'] * (4 - len(given)))}/{8 * len(given)}`"
    return "write a network with its prefix length, such as `10.0.0.0/8`"


def _ipv4_cure(text: str) -> str:
    read_as = _as_inet_aton(text)
    if read_as is None:
        return "write four numbers from 0 to 255, without leading zeros"
    return f"write four decimal numbers without leading zeros; many programs read this as `{read_as}`"


def _as_inet_aton(text: str) -> ipaddress.IPv4Address | None:
    """What C's inet_aton makes of a text: one to four numbers in C's bases, the last fills what is left."""
    numbers: list[int] = []
    for part in text.split("."):
        if len(part) > 12 or not _NUMBER.fullmatch(part) or part.lower() == "0x":
            return None
        base = 16 if part[:2].lower() == "0x" else 8 if part.startswith("0") and part != "0" else 10
        try:
            numbers.append(int(part, base))
        except ValueError:
            return None
    *heads, last = numbers
    if len(numbers) > 4 or any(head > 255 for head in heads) or last >= 256 ** (4 - len(heads)):
        return None
    value = last
    for index, head in enumerate(heads):
        value += head << (24 - 8 * index)
    return ipaddress.IPv4Address(value)
