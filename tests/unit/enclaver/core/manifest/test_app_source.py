from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.app_source import AppKind, AppSource, check_image_reference, parse_app_source
from enclaver.core.manifest.problems import TextError

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        ":server",
        "//app:server",
        "//app/web:server",
        "//app",
        "//:root",
        "//app/web",
        "//a-b/c.d_e:f-1",
        "//app:src#main.py",
        "//app#sub/main.py",
        "//app:server@resolve=py311",
        "//app:server@a=b,c=d",
        ":server#gen@a=b",
    ],
)
def test_addresses(text: str) -> None:
    assert parse_app_source(text) == AppSource(AppKind.ADDRESS, text)


@pytest.mark.parametrize(
    "text",
    [
        "app",
        "app:latest",
        "app/server:latest",
        "a/b/c",
        "localhost/app",
        "localhost:5000/app:v1",
        "registry.example.com/team/app:1.0",
        "registry.example.com:5000/team/app",
        "[2001:db8::1]:5000/app",
        f"app@sha256:{HEX}",
        f"registry.example.com/app:1.0@sha256:{HEX}",
        "a__b/c-d/e--f.g_h:Tag_1.x-y",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:enclave",
        "path/to:name",
        "x" * 255,
    ],
)
def test_docker_references(text: str) -> None:
    assert parse_app_source(text) == AppSource(AppKind.IMAGE, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("//", "not the address"),
        (":", "not the address"),
        ("//app:", "not the address"),
        ("//app::", "not the address"),
        ("///app", "not the address"),
        ("//app/:x", "not the address"),
        ("//a b:c", "not the address"),
        (":a/b", "not the address"),
        ("//app:x@y", "not the address"),
        ("//../app:x", "relative"),
        ("//a/./b", "relative"),
        ("https://example.com/app:v1", "write `example.com/app:v1`"),
        ("docker://app", "URL"),
        ("App", "write `app`"),
        ("team/App:V1", "write `team/app:V1`"),
        ("app:", "tag"),
        ("app:-x", "tag"),
        ("app:" + "t" * 129, "tag"),
        ("app:a:b", "tag"),
        ("app@sha256:123", "digest"),
        (f"app@sha256:{HEX.upper()}", "digest"),
        ("app@", "digest"),
        ("app name", "not a Docker reference"),
        ("app//x", "not a Docker reference"),
        ("/app", "not a Docker reference"),
        ("a._b", "not a Docker reference"),
        ("${IMAGE}", "not a Docker reference"),
        ("x" * 256, "not a Docker reference"),
        ("x" * 2000, "too long"),
        (".example.com/app", "not a Docker reference"),
    ],
)
def test_text_that_is_neither(text: str, words: str) -> None:
    with pytest.raises(TextError) as caught:
        parse_app_source(text)
    assert words in f"{caught.value.message} | {caught.value.cure}"


def test_a_target_has_no_digest() -> None:
    check_image_reference("app:v1", digest_allowed=False)
    with pytest.raises(TextError, match="no digest"):
        check_image_reference(f"app@sha256:{HEX}", digest_allowed=False)


@settings(deadline=None)
@given(st.text(max_size=80) | st.text("ab:/@#.-_=", max_size=40))
def test_any_text_is_one_or_neither(text: str) -> None:
    try:
        source = parse_app_source(text)
    except TextError:
        return
    assert (source.kind is AppKind.ADDRESS) == text.startswith(("//", ":"))
