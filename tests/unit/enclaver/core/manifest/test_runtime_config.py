from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.runtime_config import AppSpec, render, tls_files

APP = AppSpec(("/usr/bin/python3.11", "/app/server.pex"), {"B": "2", "A": "\u00e9"}, "/app", 1000, 1000)
HEAD = "version: v1\nname: n\nsources:\n  app: ':a'\n"


def rendered(text: str, app: AppSpec = APP) -> Any:
    return json.loads(render(parse((HEAD + text).encode(), "f"), app))


def test_the_bytes_are_canonical() -> None:
    assert render(parse(HEAD.encode(), "f"), APP) == (
        b'{"api":null,"app":{"argv":["/usr/bin/python3.11","/app/server.pex"],"cwd":"/app","env":'
        b'{"A":"\\u00e9","B":"2"},"gid":1000,"stop_signal":null,"uid":1000},"egress":null,"ingress":[],'
        b'"kms_proxy":null,"version":2}\n'
    )


def test_lists_are_sorted_and_unique() -> None:
    document = rendered(
        "egress: {allow: [b.com, A.com, a.com], deny: ['::/0', '**']}\ningress: [{listen_port: 2}, {listen_port: 1}]"
    )
    assert document["egress"] == {"proxy_port": 10000, "allow": ["a.com", "b.com"], "deny": ["**", "[::]/0"]}
    assert document["ingress"] == [{"listen_port": 1, "tls": None}, {"listen_port": 2, "tls": None}]


@pytest.mark.parametrize(
    "egress", ["egress:", "egress: {}", "egress: {allow: []}", "egress: {deny: [a], proxy_port: 7}"]
)
def test_egress_is_null_when_nothing_is_allowed(egress: str) -> None:
    assert rendered(egress)["egress"] is None


def test_services_of_later_releases_have_their_place() -> None:
    document = rendered("kms_proxy: {listen_port: 9999, endpoints: {us-east-1: kms.example}}\napi: {listen_port: 9000}")
    assert document["kms_proxy"] == {"listen_port": 9999, "endpoints": {"us-east-1": "kms.example"}}
    assert document["api"] == {"listen_port": 9000}
    assert rendered("kms_proxy: {listen_port: 9999}")["kms_proxy"]["endpoints"] == {}


def test_a_ports_tls_files_lie_in_a_folder_of_its_number_whatever_the_manifest_calls_them() -> None:
    tls = rendered("ingress: [{listen_port: 8443, tls: {key_file: k, cert_file: a/c}}]")["ingress"]
    assert tls == [
        {
            "listen_port": 8443,
            "tls": {"cert_file": "/etc/enclaver/tls/8443/cert.pem", "key_file": "/etc/enclaver/tls/8443/key.pem"},
        }
    ]
    assert tls_files(8443) == ("etc/enclaver/tls/8443/cert.pem", "etc/enclaver/tls/8443/key.pem")
    assert rendered("ingress: [{listen_port: 8443, tls: {key_file: other, cert_file: c}}]")["ingress"] == tls


def test_an_egress_entry_changes_the_bytes() -> None:
    assert rendered("egress: {allow: [a.com]}") != rendered("egress: {allow: [a.com, b.com]}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"argv": ()}, "no command"),
        ({"argv": ("",)}, "no command"),
        ({"argv": ("a", "b\0")}, "NUL"),
        ({"argv": ("a", "\udc80")}, "not valid UTF-8"),
        ({"env": {"A": "x\0"}}, "environment variable A holds a NUL"),
        ({"env": {"A": "\ud800"}}, "not valid UTF-8"),
        ({"env": {"1A": ""}}, "cannot be the name"),
        ({"env": {"": ""}}, "cannot be the name"),
        ({"env": {"A=B": ""}}, "cannot be the name"),
        ({"env": {"A\n": ""}}, "cannot be the name"),
        ({"cwd": ""}, "not absolute"),
        ({"cwd": "app"}, "not absolute"),
        ({"cwd": "/a/../b"}, "not absolute"),
        ({"cwd": "/a\0"}, "NUL"),
        ({"uid": -1}, "uid -1 is out of range"),
        ({"gid": 2**32 - 1}, "gid 4294967295 is out of range"),
        ({"stop_signal": 0}, "stop signal 0 is none"),
        ({"stop_signal": 65}, "stop signal 65 is none"),
    ],
)
def test_an_app_that_cannot_start_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EnclaverError, match=words):
        replace(APP, **changes)
