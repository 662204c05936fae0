from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave.ca_bundle import client_context, resolve
from tests.certificates import Authority

FIRST, SECOND = Authority("First"), Authority("Second")


def subjects(context: ssl.SSLContext) -> set[str]:
    return {value for found in context.get_ca_certs() for ((_, value),) in found["subject"]}  # type: ignore[misc]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").write_bytes(b"# a comment\n" + FIRST.pem)
    (tmp_path / "own.pem").write_bytes(SECOND.pem + FIRST.pem)
    return tmp_path


def test_debians_place_is_the_default(root: Path) -> None:
    context = client_context(str(root), {})
    assert subjects(context) == {"First"}
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    "env",
    [
        {"AWS_CA_BUNDLE": "/own.pem"},
        {"SSL_CERT_FILE": "/own.pem", "AWS_CA_BUNDLE": ""},
        {"AWS_CA_BUNDLE": "/own.pem", "SSL_CERT_FILE": "/nothing"},
    ],
)
def test_the_apps_environment_may_name_another(root: Path, env: dict[str, str]) -> None:
    assert subjects(client_context(str(root), env)) == {"First", "Second"}


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"AWS_CA_BUNDLE": "/missing"}, r"the CA bundle /missing \(AWS_CA_BUNDLE\) cannot be read \(No such file"),
        ({"SSL_CERT_FILE": "/etc"}, r"the CA bundle /etc \(SSL_CERT_FILE\) cannot be read"),
        ({"SSL_CERT_FILE": "/pipe"}, r"cannot be read \(no regular file\)"),
        ({"SSL_CERT_FILE": "/round"}, r"cannot be read \(too many links\)"),
        ({"SSL_CERT_FILE": "/empty"}, "holds no certificates in PEM form"),
        ({"SSL_CERT_FILE": "/bytes"}, "holds no certificates in PEM form"),
    ],
)
def test_without_certificates_nothing_starts(root: Path, env: dict[str, str], why: str) -> None:
    os.mkfifo(root / "pipe")
    (root / "round").symlink_to("round")
    (root / "empty").touch()
    (root / "bytes").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=f"^kms_proxy: .*{why}"):
        client_context(str(root), env)


def test_the_default_that_is_missing_is_told_with_what_helps(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ca-certificates.crt cannot be read .* or set AWS_CA_BUNDLE"):
        client_context(str(tmp_path), {})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/a", "etc/a"),
        ("etc//./a", "etc/a"),
        ("/../../etc/../a", "a"),
        ("/absolute", "etc/ssl/x"),
        ("/absolute-folder/x", "etc/ssl/x"),
        ("/out", "x"),
        ("/chain", "etc/ssl/x"),
        ("/etc/ssl/relative", "etc/x"),
        ("/missing/x", "missing/x"),
    ],
)
def test_links_are_followed_as_the_apps(tmp_path: Path, path: str, expected: str) -> None:
    (tmp_path / "etc/ssl").mkdir(parents=True)
    for name, target in {
        "absolute": "/etc/ssl/x",
        "absolute-folder": "/etc/ssl",
        "out": "../../../x",
        "chain": "absolute",
        "etc/ssl/relative": "../x",
    }.items():
        (tmp_path / name).symlink_to(target)
    assert resolve(str(tmp_path), path) == str(tmp_path / expected)
