from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from enclaver.core.manifest.app_source import AppKind
from enclaver.core.manifest.model import Defaults, Ingress, KmsProxy, Signature, Tls
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.problems import ManifestError
from enclaver.core.manifest.signing_key import KeyKind, SigningKey

HEAD = "version: v1\nname: hello\ntarget: hello:enclave\nsources:\n  app: ':server'\n"
EVERYTHING = """\
version: v1
name: "everything"
target: registry.example.com/team/app:enclave
sources:
  app: //app:server
  supervisor: old/supervisor:1
  wrapper: old/wrapper:1
  odyn: new/odyn:1
  sleeve: new/sleeve:1
defaults: {cpu_count: 4, memory_mb: 8192}
kms_proxy:
  listen_port: 9999
  endpoints: {us-west-2: kms.west.example, us-east-1: kms.east.example}
egress:
  proxy_port: 9998
  allow: ["**.amazonaws.com", "0.0.0.0/0:443", host]
  deny: [evil.example]
ingress:
  - listen_port: 8443
    tls: {key_file: key.pem, cert_file: cert.pem}
  - listen_port: 8080
api: {listen_port: 9997}
signature: {certificate: sign.pem, key: sign.key}
"""
# In the style of manifests people publish; all of these build with Enclaver.
REAL = [
    HEAD,
    HEAD + "egress:\n  allow:\n  deny: null\n",
    HEAD + "egress:\n  allow: []\ningress: []\n",
    HEAD
    + """\
defaults:
  memory_mb: 4096
egress:
  allow:
    - google.com
    - www.google.com
ingress:
  - listen_port: 8080
""",
    HEAD
    + """\
kms_proxy:
  listen_port: 9999
egress:
  allow:
    - kms.*.amazonaws.com
    - s3.amazonaws.com
    - 169.254.169.254
""",
    HEAD + 'egress:\n  allow:\n    - "*"\n    - "**"\n    - 0.0.0.0/0\n    - ::/0\n    - "*.*.*.*"\n',
    HEAD + 'egress:\n  allow:\n    - host\n    - 165.232.133.47:3031\n    - "0.0.0.0/0:443"\n',
    "---\n" + HEAD.replace("'", '"').replace("\n", "\r\n"),
    "\ufeff" + HEAD,
    HEAD + "# trailing comment without a line break",
]


def refusal(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        parse(text.encode(), "enclaver.yaml")
    return caught.value


def test_everything() -> None:
    manifest = parse(EVERYTHING.encode(), "enclaver.yaml")
    assert (manifest.version, manifest.name) == ("v1", "everything")
    assert manifest.target == "registry.example.com/team/app:enclave"
    assert (manifest.sources.app.kind, manifest.sources.app.value) == (AppKind.ADDRESS, "//app:server")
    assert manifest.defaults == Defaults(4, 8192)
    assert manifest.kms_proxy == KmsProxy(9999, (("us-east-1", "kms.east.example"), ("us-west-2", "kms.west.example")))
    assert manifest.egress is not None
    assert [entry.text for entry in manifest.egress.allow] == ["**.amazonaws.com", "0.0.0.0/0:443", "host"]
    assert [entry.text for entry in manifest.egress.deny] == ["evil.example"]
    assert manifest.egress.proxy_port == 9998
    assert manifest.ingress == (Ingress(8443, Tls("key.pem", "cert.pem")), Ingress(8080))
    assert manifest.api is not None
    assert manifest.api.listen_port == 9997
    assert manifest.signature == Signature("sign.pem", SigningKey(KeyKind.FILE, "sign.key"))
    assert [note.key for note in manifest.notes] == [
        "sources.supervisor",
        "sources.wrapper",
        "sources.odyn",
        "sources.sleeve",
        "ingress[0].tls.key_file",
    ]


def test_defaults() -> None:
    manifest = parse(HEAD.encode(), "f")
    assert manifest.defaults == Defaults(2, 4096)
    assert (manifest.egress, manifest.kms_proxy, manifest.api, manifest.signature) == (None,) * 4
    assert (manifest.ingress, manifest.notes) == ((), ())


def test_a_missing_target_is_a_note() -> None:
    manifest = parse(HEAD.replace("target: hello:enclave\n", "").encode(), "f")
    assert manifest.target is None
    assert [note.key for note in manifest.notes] == ["target"]


@pytest.mark.parametrize("text", REAL)
def test_manifests_as_people_write_them(text: str) -> None:
    assert parse(text.encode(), "f").name == "hello"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (HEAD.replace("v1", "1", 1), "1:10", "write `version: v1`"),
        (HEAD.replace("v1", "'1'", 1), "1:10", "write `version: v1`"),
        (HEAD.replace("v1", "v2", 1), "1:10", "`v2` is not known"),
        (HEAD.replace("v1", "[v1]", 1), "1:10", "a list, not text"),
        (HEAD.replace("version: v1\n", ""), "1:1", "`version` is missing"),
        (HEAD.replace("hello\n", "\n", 1), "2:1", "`name` has no value"),
        (HEAD.replace("hello\n", "12\n", 1), "2:7", "a number (`12`), not text"),
        (HEAD.replace("hello:enclave", "Hello:x"), "3:9", "write `hello:x`"),
        (HEAD.replace("hello:enclave", "3"), "3:9", "not text"),
        (HEAD.replace("  app: ':server'", "  - app: ':server'"), "5:3", "a list, not a mapping"),
        (HEAD.replace("  app: ':server'", "  {}"), "4:1", "`sources.app` is missing"),
        (HEAD.replace("  app: ':server'", ""), "4:1", "`sources` has no value"),
        (HEAD.replace(":server", "A B"), "5:8", "`sources.app`: `A B` is not a Docker reference"),
        (HEAD + "sources: x", "6:1", "twice"),
        (HEAD + "env:\n  A: b\n", "6:1", "a key of a fork"),
        (HEAD + "healthcheck: {}\n", "6:1", "a key of a fork"),
        (HEAD + "egres: {}\n", "6:1", "did you mean `egress`?"),
        (HEAD + "defaults: {cpu_count: 0}\n", "6:23", "from 1 to 1024"),
        (HEAD + "defaults: {memory_mb: 63}\n", "6:23", "from 64"),
        (HEAD + "defaults: {memory_mb: 4GB}\n", "6:23", "`4GB`, not a whole decimal number"),
        (HEAD + "ingress:\n  listen_port: 80\n", "7:3", "write `- listen_port: 8080`"),
        (HEAD + "ingress: [8080]\n", "6:11", "not a mapping of keys"),
        (HEAD + "ingress: [{}]\n", "6:11", "`ingress[0].listen_port` is missing"),
        (HEAD + "ingress: [{listen_port: 65536}]\n", "6:25", "from 1 to 65535"),
        (HEAD + "ingress: [{listen_port: 17000}]\n", "6:12", "runtime's own vsock port"),
        (HEAD + "ingress: [{listen_port: 1, tls: {key_file: k}}]\n", "6:28", "`ingress[0].tls.cert_file` is missing"),
        (HEAD + "ingress: [{listen_port: 1, tls: true}]\n", "6:33", "not a mapping of keys"),
        (
            HEAD + "ingress: [{listen_port: 1, tls: {key_file: /k, cert_file: c}}]\n",
            "6:44",
            "`ingress[0].tls.key_file`: `/k` is an absolute path",
        ),
        (HEAD + "ingress: [{listen_port: 1, tls: {key_file: k, cert_file: ../c}}]\n", "6:58", "leads out of"),
        (HEAD + "kms_proxy: {}\n", "6:1", "`kms_proxy.listen_port` is missing"),
        (HEAD + "kms_proxy: {listen_port: 1, endpoints: [a]}\n", "6:40", "not a mapping"),
        (HEAD + "kms_proxy: {listen_port: 1, endpoints: {East: a}}\n", "6:41", "not an AWS region"),
        (HEAD + "kms_proxy: {listen_port: 1, endpoints: {us-east-1: '*'}}\n", "6:52", "more than one host"),
        (HEAD + "kms_proxy: {listen_port: 1, endpoints: {us-east-1: 'https://a'}}\n", "6:52", "is a URL"),
        (HEAD + "kms_proxy: {listen_port: 1, endpoints: {us-east-1: 1}}\n", "6:52", "not text"),
        (HEAD + "api: {}\n", "6:1", "`api.listen_port` is missing"),
        (HEAD + "api: 9000\n", "6:6", "not a mapping of keys"),
        (HEAD + "signature: {key: k}\n", "6:1", "`signature.certificate` is missing"),
        (HEAD + "signature: {certificate: c}\n", "6:1", "`signature.key` is missing"),
        (
            HEAD + "signature: {certificate: /c.pem, key: k}\n",
            "6:26",
            "`signature.certificate`: `/c.pem` is an absolute",
        ),
        (HEAD + "signature: {certificate: c, key: 'arn:aws:s3:::b'}\n", "6:34", "not the ARN of a KMS key"),
        (HEAD + "kms_proxy: {listen_port: 80}\ningress: [{listen_port: 80}]\n", "7:12", "taken by `kms_proxy"),
        (HEAD + "api: {listen_port: 80}\nkms_proxy: {listen_port: 80}\n", "7:13", "taken by `api"),
        (HEAD + "egress: {allow: [a]}\napi: {listen_port: 10000}\n", "7:7", "default of `egress.proxy_port`"),
        ("- a\n", "1:1", "the manifest is a list"),
        ("hello\n", "1:1", "the manifest is text (`hello`)"),
        ("", "1:1", "the manifest is empty"),
    ],
)
def test_mistakes_have_a_place_and_a_cure(text: str, place: str, words: str) -> None:
    error = refusal(text)
    shown = [problem.render("enclaver.yaml") for problem in error.problems]
    assert len(shown) == 1
    assert shown[0].startswith(f"enclaver.yaml:{place}: ")
    assert words in shown[0]
    assert error.problems[0].cure


def test_files_are_told_with_their_keys() -> None:
    tls = "ingress: [{listen_port: 1}, {listen_port: 2, tls: {cert_file: ./a//c.pem, key_file: a/./k.pem}}]\n"
    assert parse((HEAD + tls).encode(), "f").files == (
        ("ingress[1].tls.key_file", "a/k.pem"),
        ("ingress[1].tls.cert_file", "a/c.pem"),
    )


def test_an_unused_proxy_port_clashes_with_nothing() -> None:
    parse((HEAD + "egress: {deny: [a]}\napi: {listen_port: 10000}\n").encode(), "f")


def test_all_errors_of_a_file_at_once() -> None:
    error = refusal(
        "version: 1\nname: hello\nsources: {app: A}\negress:\n  alow: []\n  allow:\n    - https://a/b\n"
        "    - 010.0.0.1\ningress:\n  - listen_port: 0\n  - listen_prt: 1\nmemory_mb: 1\n"
    )
    places = [(problem.place.line, problem.place.column) for problem in error.problems]
    assert places == [(1, 10), (3, 16), (5, 3), (7, 7), (8, 7), (10, 18), (11, 5), (11, 5), (12, 1)]


def places_are_inside(error: ManifestError, text: str) -> None:
    assert error.problems
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    for problem in error.problems:
        assert 1 <= problem.place.line <= len(lines)
        assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1
        assert problem.place.width >= 1
    str(error).encode()


def never_anything_else(data: bytes) -> None:
    try:
        parse(data, "f")
    except ManifestError as error:
        places_are_inside(error, data.decode("utf-8", "replace"))


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_bytes_never_raise_anything_else(data: bytes) -> None:
    never_anything_else(data)


WORDS = """version: v1|sources:|egress:|allow:|ingress:|listen_port: |**.a|::1|1.2.3.4|999|null|0x1|env:|endpoints:|\
<<: |&a|*a|!!int |"\\x|\\|: |--- |...\n|version: v1\n|\n  |\n- |\u00fc|\u2028|\ufeff|\x07|\U0001f600"""
TOKENS = st.sampled_from("-:?,[]{}&*!|>'\"%@`#~\n\t \r") | st.sampled_from(WORDS.split("|"))


@given(st.lists(TOKENS, max_size=60).map("".join), st.booleans())
@settings(max_examples=300, deadline=None)
@pytest.mark.slow
def test_random_yaml_never_raises_anything_else(text: str, appended: bool) -> None:
    never_anything_else(((HEAD if appended else "") + text).encode())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
KEYS = st.text(max_size=8) | st.sampled_from(
    ["version", "name", "sources", "app", "egress", "allow", "ingress", "listen_port", "tls", "endpoints", "api", "env"]
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5))


@given(st.dictionaries(KEYS, TREES, max_size=6))
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_any_data_never_raises_anything_else(data: dict[str, Any]) -> None:
    never_anything_else(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace"))


@given(st.data())
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_a_changed_character_never_raises_anything_else(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(EVERYTHING)))
    end = start + data.draw(st.integers(0, 5))
    never_anything_else((EVERYTHING[:start] + data.draw(TOKENS | st.just("")) + EVERYTHING[end:]).encode())
