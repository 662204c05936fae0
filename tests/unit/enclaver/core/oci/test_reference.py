from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.problems import TextError
from enclaver.core.oci import reference
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = Digest("sha256", HEX)


@pytest.mark.parametrize(
    ("text", "expected", "familiar"),
    [
        ("app", Reference("docker.io", "library/app", "latest", None), "app:latest"),
        ("app:1.0", Reference("docker.io", "library/app", "1.0", None), "app:1.0"),
        ("team/app", Reference("docker.io", "team/app", "latest", None), "team/app:latest"),
        ("docker.io/app", Reference("docker.io", "library/app", "latest", None), "app:latest"),
        ("docker.io/library/app", Reference("docker.io", "library/app", "latest", None), "app:latest"),
        ("index.docker.io/a/b:c", Reference("docker.io", "a/b", "c", None), "a/b:c"),
        ("docker.io/a.b/c", Reference("docker.io", "a.b/c", "latest", None), "docker.io/a.b/c:latest"),
        (f"docker.io/{HEX}", Reference("docker.io", f"library/{HEX}", "latest", None), None),
        ("library/a/b", Reference("docker.io", "library/a/b", "latest", None), "library/a/b:latest"),
        ("localhost/app", Reference("localhost", "app", "latest", None), "localhost/app:latest"),
        ("localhost:5000", Reference("docker.io", "library/localhost", "5000", None), "localhost:5000"),
        ("localhost:5000/app", Reference("localhost:5000", "app", "latest", None), "localhost:5000/app:latest"),
        ("127.0.0.1:5000/a/b:v", Reference("127.0.0.1:5000", "a/b", "v", None), "127.0.0.1:5000/a/b:v"),
        ("[::1]:5000/app:v", Reference("[::1]:5000", "app", "v", None), "[::1]:5000/app:v"),
        ("quay.io/app", Reference("quay.io", "app", "latest", None), "quay.io/app:latest"),
        ("REGISTRY/app", Reference("REGISTRY", "app", "latest", None), "REGISTRY/app:latest"),
        (f"app@{DIGEST}", Reference("docker.io", "library/app", None, DIGEST), f"app@{DIGEST}"),
        (f"h.io/p:t@{DIGEST}", Reference("h.io", "p", "t", DIGEST), f"h.io/p:t@{DIGEST}"),
        (f"app@sha512:{HEX}{HEX}", Reference("docker.io", "library/app", None, Digest("sha512", HEX * 2)), None),
    ],
)
def test_what_a_reference_means(text: str, expected: Reference, familiar: str | None) -> None:
    found = reference.parse(text)
    assert found == expected
    assert found.familiar == familiar or familiar is None
    assert reference.parse(str(found)) == reference.parse(found.familiar) == found


def test_its_one_spelling() -> None:
    assert str(reference.parse("app")) == "docker.io/library/app:latest"
    assert str(reference.parse(f"h.io:1/p:t@{DIGEST}")) == f"h.io:1/p:t@{DIGEST}"
    assert reference.parse("h.io/a/b:t").name == "h.io/a/b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("App", "`App` is not a Docker reference\n  Docker's names have no capital letters: write `app`."),
        ("docker://app", "`docker://app` is a URL, not a Docker reference\n  Write `app`."),
        ("app@sha256:12", "the digest of `app@sha256:12` is malformed\n  Write `@sha256:` and the digest's 64"),
        (f"app@md5:{HEX}", "is malformed"),
        ("app:", "the tag of `app:` is malformed"),
        (HEX, "is an image's id, not its name"),
        ("", "`` is not a Docker reference"),
        ("x/" * 600 + "x", "is too long"),
        ("localhost:65536/app", "`localhost:65536/app` is not a Docker reference"),
        ("h.io:0/app", "`h.io:0/app` is not a Docker reference"),
        ("[::::]/app", "`[::::]/app` is not a Docker reference"),
    ],
)
def test_what_is_none(text: str, message: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        reference.parse(text)
    assert message in str(caught.value)
    with pytest.raises(TextError):
        reference.read(text)


_PART = st.from_regex(r"[a-z0-9]+(?:[._-][a-z0-9]+){0,2}", fullmatch=True)
_TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(
    st.none() | st.sampled_from(["docker.io", "localhost", "localhost:1", "r.example:5000", "[::1]:5"]),
    st.lists(_PART, min_size=1, max_size=4),
    st.none() | _TAG,
    st.none() | st.just(DIGEST),
)
def test_all_spellings_are_read_back(host: str | None, parts: list[str], tag: str | None, found: Digest | None) -> None:
    # A first part with a dot is a host, and a host has no underscores.
    assume(host or "." not in parts[0])
    text = "/".join([*([host] if host else []), *parts])
    text += (f":{tag}" if tag else "") + (f"@{found}" if found else "")
    parsed = reference.parse(text)
    assert (parsed.tag, parsed.digest) == (tag or (None if found else "latest"), found)
    assert reference.parse(str(parsed)) == parsed
    assert reference.parse(parsed.familiar) == parsed


@given(st.text(max_size=80) | st.text("ab:/@#.-_=[]", max_size=40))
def test_any_text_is_one_or_refused(text: str) -> None:
    try:
        found = reference.parse(text)
    except EnclaverError:
        return
    assert reference.parse(str(found)) == found
