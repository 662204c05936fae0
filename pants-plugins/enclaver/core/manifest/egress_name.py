"""Domain names and patterns of egress entries, to lower-case ASCII labels."""

from __future__ import annotations

import re

import idna

from enclaver.core.manifest.egress_address import looks_like_ipv4
from enclaver.core.manifest.problems import TextError, quote

# RFC 1035, 2.3.4.
LONGEST_LABEL = 63
LONGEST_NAME = 253
# Letters, digits, hyphens; underscores as well, since names in use have them although hosts should not.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


def labels(text: str) -> tuple[str, ...]:
    """The labels of a name or pattern, left to right; one trailing dot (the root) is dropped.

    Raises:
        TextError: an empty, overlong or malformed label, a wildcard that is only part of a label, ``**``
            anywhere but first.
    """
    if not text:
        raise TextError("an egress entry has no host", "write a host, an address or a network")
    parts = text.removesuffix(".").split(".")
    if "" in parts:
        raise TextError(f"{quote(text)} has an empty label", _empty_cure(parts))
    result = tuple(_label(text, part, first=index == 0) for index, part in enumerate(parts))
    name = ".".join(result)
    if len(name) > LONGEST_NAME:
        raise TextError(f"{quote(text)} has more than the {LONGEST_NAME} characters that a name can have", "shorten it")
    if looks_like_ipv4(name):
        # Only now, since digits of other scripts become ASCII digits on the way.
        raise TextError(f"{quote(text)} is not a plain IPv4 address", f"write {quote(name)}")
    return result


def _label(text: str, label: str, *, first: bool) -> str:
    if label == "*" or (label == "**" and first):
        return label
    if label == "**":
        raise TextError(
            f"`**` is not the first label of {quote(text)}",
            "write `**` first (any labels at the left), or `*` for exactly one label",
        )
    if "*" in label:
        raise TextError(
            f"{quote(label)} mixes `*` with other characters; a `*` stands for one whole label",
            f"write {quote('.'.join('*' if '*' in part else part for part in text.split('.')))}",
        )
    ascii_label = label.lower() if label.isascii() else _to_ascii(text, label)
    if len(ascii_label) > LONGEST_LABEL:
        raise TextError(
            f"the label {quote(label)} has more than the {LONGEST_LABEL} characters a label can have",
            "shorten it",
        )
    if not _LABEL.fullmatch(ascii_label):
        raise TextError(
            f"{quote(label)} cannot be part of a host name",
            "a label has letters, digits, `_` and, not at its ends, `-`",
        )
    return ascii_label


def _to_ascii(text: str, label: str) -> str:
    if len(label) > LONGEST_LABEL:
        # idna takes quadratic time on long labels, and no label this long has a short enough ASCII form.
        raise TextError(f"the label {quote(label)} is too long", "shorten it")
    try:
        return idna.encode(label, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise TextError(
            f"{quote(text)} is not an internationalized domain name ({error})",
            "correct it, or write the name in its ASCII form (`xn--...`)",
        ) from None


def _empty_cure(parts: list[str]) -> str:
    given = [part for part in parts if part]
    if parts[0] == "" and given == parts[1:]:
        return f"write {quote('**.' + '.'.join(given))} to cover everything below {quote('.'.join(given))}"
    return f"write {quote('.'.join(given))}" if given else "write a name"
