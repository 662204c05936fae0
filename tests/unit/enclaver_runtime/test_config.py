from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver_runtime import config

APP: dict[str, Any] = {
    "argv": ["/usr/bin/python3.11", "/app/server.pex"],
    "env": {"PATH": "/usr/bin"},
    "cwd": "/app",
    "uid": 1000,
    "gid": 1000,
    "stop_signal": 3,
}
TLS = {"cert_file": "/etc/enclaver/tls/8443/cert.pem", "key_file": "/etc/enclaver/tls/8443/key.pem"}
FULL: dict[str, Any] = {
    "version": 2,
    "app": APP,
    "egress": {"proxy_port": 10000, "allow": ["example.com:443"], "deny": []},
    "ingress": [{"listen_port": 8000, "tls": None}, {"listen_port": 8443, "tls": TLS}],
    "kms_proxy": {"listen_port": 9999, "endpoints": {"us-east-1": "kms.example.com"}},
    "api": {"listen_port": 9000},
}


def parse(document: object) -> config.Config:
    return config.parse(json.dumps(document).encode())


def changed(place: str, value: object) -> dict[str, Any]:
    """FULL with the value at ``place`` (``app.uid``) replaced, or removed when ``value`` is Ellipsis."""
    document: dict[str, Any] = json.loads(json.dumps(FULL))
    at: Any = document
    *parents, last = place.split(".")
    for name in parents:
        at = at[int(name) if name.isdecimal() else name]
    if value is ...:
        del at[last]
    else:
        at[int(last) if last.isdecimal() else last] = value
    return document


def test_everything_is_read() -> None:
    assert parse(FULL) == config.Config(
        app=config.App(
            argv=("/usr/bin/python3.11", "/app/server.pex"),
            env={"PATH": "/usr/bin"},
            cwd="/app",
            uid=1000,
            gid=1000,
            stop_signal=3,
        ),
        egress=config.Egress(proxy_port=10000, allow=("example.com:443",), deny=()),
        ingress=(config.Ingress(8000), config.Ingress(8443, config.Tls(**TLS))),
        kms_proxy=config.KmsProxy(listen_port=9999, endpoints={"us-east-1": "kms.example.com"}),
        api=config.Api(listen_port=9000),
    )


def test_what_is_not_asked_for_is_none() -> None:
    app = APP | {"stop_signal": None}
    read = parse({"version": 2, "app": app, "egress": None, "ingress": [], "kms_proxy": None, "api": None})
    assert (read.egress, read.ingress, read.kms_proxy, read.api) == (None, (), None, None)
    assert read.app.stop_signal is None


def test_version_1_has_no_stop_signal() -> None:
    first = {name: value for name, value in APP.items() if name != "stop_signal"}
    read = parse(FULL | {"version": 1, "app": first})
    assert read.app.stop_signal is None
    assert replace(read, app=replace(read.app, stop_signal=3)) == parse(FULL)
    with pytest.raises(config.ConfigError, match=r"app\.stop_signal: is not a key"):
        parse(FULL | {"version": 1})


def test_bytes_that_are_not_utf_8_come_as_escaped_surrogates() -> None:
    assert parse(changed("app.argv", ["/app/\udcff"])).app.argv == ("/app/\udcff",)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("version", 3, "version: 3 is neither 1 nor 2"),
        ("version", True, "version: True is neither 1 nor 2"),
        ("version", 2.0, "version: 2.0 is neither 1 nor 2"),
        ("version", [2], r"version: \[2\] is neither 1 nor 2"),
        ("version", ..., "version: is missing"),
        ("more", 1, "more: is not a key"),
        ("app", ..., "app: is missing"),
        ("app", None, "app: must be an object"),
        ("app.more", 1, "app.more: is not a key"),
        ("app.argv", [], "app.argv: must name a program"),
        ("app.argv", [""], "app.argv: must name a program"),
        ("app.argv", "x", "app.argv: must be a list"),
        ("app.argv", ["x", 1], r"app.argv\[1\]: must be a text"),
        ("app.argv", ["x\0"], r"app.argv\[0\]: has a NUL"),
        ("app.argv", ["\ud800"], r"app.argv\[0\]: is not Unicode"),
        ("app.env", [], "app.env: must be an object"),
        ("app.env", {"A": 1}, "app.env.A: must be a text"),
        ("app.env", {"A=B": ""}, "app.env: a variable's name"),
        ("app.env", {"": ""}, "app.env: a variable's name"),
        ("app.cwd", "app", "app.cwd: must be absolute"),
        ("app.uid", -1, "app.uid: must be a number"),
        ("app.uid", 2**32 - 1, "app.uid: must be a number"),
        ("app.gid", "0", "app.gid: must be a number"),
        ("app.stop_signal", ..., "app.stop_signal: is missing"),
        ("app.stop_signal", 0, "app.stop_signal: must be a number from 1 to 64"),
        ("app.stop_signal", 65, "app.stop_signal: must be a number from 1 to 64"),
        ("app.stop_signal", True, "app.stop_signal: must be a number"),
        ("app.stop_signal", "SIGQUIT", "app.stop_signal: must be a number"),
        ("egress", [], "egress: must be an object"),
        ("egress.proxy_port", 0, "egress.proxy_port: must be a number from 1 to 65535"),
        ("egress.proxy_port", 65536, "egress.proxy_port: must be a number from 1 to 65535"),
        ("egress.deny", ..., "egress.deny: is missing"),
        ("ingress", None, "ingress: must be a list"),
        ("ingress.0", 8000, r"ingress\[0\]: must be an object"),
        ("ingress.0.tls", ..., r"ingress\[0\].tls: is missing"),
        ("ingress.1.tls", {}, r"ingress\[1\].tls.cert_file: is missing"),
        ("ingress.1.tls", True, r"ingress\[1\].tls: must be an object"),
        ("ingress.1.tls.key_file", "key.pem", r"ingress\[1\].tls.key_file: must be absolute"),
        ("ingress.1.tls.cert_file", 1, r"ingress\[1\].tls.cert_file: must be a text"),
        ("ingress.1.tls.ca_file", "/ca", r"ingress\[1\].tls.ca_file: is not a key"),
        ("ingress.1.listen_port", 8000, "ingress: a port occurs twice"),
        ("kms_proxy.endpoints", {"a": None}, "kms_proxy.endpoints.a: must be a text"),
        ("api.listen_port", None, "api.listen_port: must be a number"),
    ],
)
def test_anything_else_is_refused(place: str, value: object, message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        parse(changed(place, value))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"version":1,"version":1}'])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(config.ConfigError):
        config.parse(data)


def test_a_long_file_is_refused_unread() -> None:
    with pytest.raises(config.ConfigError, match="bytes long"):
        config.parse(b" " * (config.MAX_SIZE + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    "app",
    "app.argv",
    "app.env",
    "app.uid",
    "egress",
    "ingress",
    "ingress.0",
    "ingress.1.tls",
    "kms_proxy.endpoints",
    "api",
]


@given(st.sampled_from(PLACES), JSON)
def test_any_value_anywhere_is_refused_or_read(place: str, value: object) -> None:
    with suppress(config.ConfigError):
        parse(changed(place, value))
