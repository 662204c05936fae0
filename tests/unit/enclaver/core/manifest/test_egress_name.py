from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.egress_name import LONGEST_LABEL, LONGEST_NAME, labels
from enclaver.core.manifest.problems import TextError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.COM", ("example", "com")),
        ("example.com.", ("example", "com")),
        ("**.example", ("**", "example")),
        ("*.a.*.b", ("*", "a", "*", "b")),
        ("stra\u00dfe.example", ("xn--strae-oqa", "example")),
        ("\uff45xample.com", ("example", "com")),
        ("a" * LONGEST_LABEL, ("a" * LONGEST_LABEL,)),
    ],
)
def test_labels(text: str, expected: tuple[str, ...]) -> None:
    assert labels(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no host"),
        (".", "empty label"),
        (".example.com", "`**.example.com`"),
        ("a..b", "write `a.b`"),
        ("a.com..", "empty label"),
        ("a.**.com", "not the first label"),
        ("**.**", "not the first label"),
        ("kms-*.example", "write `*.example`"),
        ("***", "mixes"),
        ("-a.com", "cannot be part"),
        ("a-.com", "cannot be part"),
        ("a?b", "cannot be part"),
        ("$x.com", "cannot be part"),
        ("a" * (LONGEST_LABEL + 1), "a label can have"),
        (".".join(["abcd"] * 51), str(LONGEST_NAME)),
        ("\u00fc" * 64, "too long"),
        ("\u00fc" * 63, "internationalized"),
        ("a\u3002b", "cannot be part"),
        ("\u2603.example", "internationalized"),
        ("\uff0a.example", "internationalized"),
        ("127.0.0.\uff11", "not a plain IPv4 address"),
    ],
)
def test_what_is_no_name(text: str, words: str) -> None:
    with pytest.raises(TextError) as caught:
        labels(text)
    assert words in f"{caught.value.message} | {caught.value.cure}"


@settings(deadline=None)
@given(st.text(max_size=70))
def test_labels_are_ascii_or_refused(text: str) -> None:
    try:
        found = labels(text)
    except TextError:
        return
    assert ".".join(found).isascii()
    assert labels(".".join(found)) == found
