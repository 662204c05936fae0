from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest
from enclaver.core.rootfs.entry import InlineContent

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_digests_of_both_algorithms() -> None:
    assert digest.of(InlineContent(b"")) == digest.parse(f"sha256:{EMPTY}")
    long = digest.of(InlineContent(b"x"), "sha512")
    assert str(long) == f"sha512:{hashlib.sha512(b'x').hexdigest()}" == str(digest.parse(str(long)))
    assert long.hasher().name == "sha512"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no digest"),
        (EMPTY, "no digest"),
        (f"sha256:../../{EMPTY}", "no digest"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "algorithm md5 is not known"),
        (f"sha256:{EMPTY[:-1]}", "no sha256 digest"),
        (f"sha256:{EMPTY.upper()}", "no sha256 digest"),
        (f"sha512:{EMPTY}", "no sha512 digest"),
        (f"sha256:{EMPTY}\n", "no digest"),
        ("sha256:" + "g" * 64, "no sha256 digest"),
    ],
)
def test_what_is_no_digest_is_refused(text: str, what: str) -> None:
    with pytest.raises(EnclaverError, match=what):
        digest.parse(text)


@given(st.text(max_size=90))
def test_noise_is_refused(text: str) -> None:
    with pytest.raises(EnclaverError):
        digest.parse(text)


def test_both_digests_are_shown() -> None:
    expected = digest.parse(f"sha256:{EMPTY}")
    digest.check(expected, EMPTY, "it")
    with pytest.raises(EnclaverError, match=f"the config is not what .* sha256:{'0' * 64}, not sha256:{EMPTY}"):
        digest.check(expected, "0" * 64, "the config")
