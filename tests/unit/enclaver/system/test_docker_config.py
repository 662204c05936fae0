from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system.docker_config import Credentials, credentials

HOST = "registry.example.com:5000"
SECRET = "correct horse"
AUTH = base64.b64encode(f"auditor:{SECRET}".encode()).decode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of docker's configuration, and of programs."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def write(folder: Path, value: Any) -> None:
    (folder / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))


def helper(folder: Path, script: str) -> None:
    """A credential helper called `test`."""
    program = folder / "docker-credential-test"
    program.write_text(f"#!/bin/sh\nread -r server || true\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/"])
def test_a_name_and_a_password(folder: Path, key: str) -> None:
    write(folder, {"auths": {"other.example": {"auth": "eDp5"}, key: {"auth": AUTH}}})
    assert credentials(HOST) == Credentials("auditor", SECRET)
    assert credentials("registry.example.com") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 9999, "\0"])
def test_a_damaged_configuration_is_not_taken_for_an_empty_one(folder: Path, text: str) -> None:
    write(folder, text)
    with pytest.raises(EnclaverError, match=r"config\.json: docker's configuration is no JSON object"):
        credentials(HOST)


def test_the_configuration_of_the_first_docker_is_no_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    (folder / "home").mkdir()
    (folder / "home/.dockercfg").write_text(f"auth = {AUTH}\nemail = a@example.com\n")
    assert credentials(HOST) is None


def test_docker_s_own_registry(folder: Path) -> None:
    write(folder, {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}})
    assert credentials("docker.io") == Credentials("auditor", SECRET)


def test_an_identity_token(folder: Path) -> None:
    write(folder, {"auths": {HOST: {"auth": AUTH, "identitytoken": "t"}}})
    assert credentials(HOST) == Credentials("", "", "t")


@pytest.mark.parametrize("where", [{"credsStore": "test"}, {"credHelpers": {HOST: "test"}}])
def test_a_helper(folder: Path, where: dict[str, Any]) -> None:
    helper(folder, f'echo "{{\\"ServerURL\\": \\"$server\\", \\"Username\\": \\"$1\\", \\"Secret\\": \\"{SECRET}\\"}}"')
    write(folder, {**where, "auths": {HOST: {}}})
    assert credentials(HOST) == Credentials("get", SECRET)


def test_a_helper_with_an_identity_token(folder: Path) -> None:
    helper(folder, 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"t\\"}"')
    write(folder, {"credsStore": "test"})
    assert credentials(HOST) == Credentials("", "", "t")


def test_a_helper_that_knows_nothing_is_not_the_last_word(folder: Path) -> None:
    helper(folder, 'echo "credentials not found in native keychain"; exit 1')
    write(folder, {"credsStore": "test", "auths": {HOST: {"auth": AUTH}}})
    assert credentials(HOST) == Credentials("auditor", SECRET)


@pytest.mark.parametrize("config", [{}, {"auths": {}}, {"auths": {HOST: {}}}, {"proxies": {"default": {}}}, None])
def test_nobody(folder: Path, config: dict[str, Any] | None) -> None:
    if config is not None:
        write(folder, config)
    assert credentials(HOST) is None


@pytest.mark.parametrize(
    ("config", "script", "message"),
    [
        ({"credsStore": "missing"}, "", "that does not work\n  Check that `docker login"),
        ({"credsStore": "test"}, f"echo {SECRET}; exit 3", "that does not work"),
        ({"credsStore": "test"}, f"echo {SECRET}", "can't be read where it is about"),
        ({"credsStore": "test"}, "echo '{}'", "can't be read where it is about"),
        ({"auths": {HOST: SECRET}}, "", "that does not work"),
        ({"auths": {HOST: {"auth": f"!{SECRET}"}}}, "", "can't be read where it is about"),
        ({"auths": {HOST: {"auth": AUTH[:-3]}}}, "", "can't be read where it is about"),
        ({"auths": [SECRET]}, "", "can't be read where it is about"),
    ],
)
def test_what_cannot_be_read(folder: Path, config: dict[str, Any], script: str, message: str) -> None:
    helper(folder, script)
    write(folder, config)
    with pytest.raises(EnclaverError) as caught:
        credentials(HOST)
    assert str(caught.value).startswith(f"{folder}/config.json: docker's configuration ")
    assert message in str(caught.value)
    assert HOST in str(caught.value)
    assert SECRET not in str(caught.value)


def test_nothing_secret_is_shown() -> None:
    assert SECRET not in repr(Credentials("auditor", SECRET, SECRET))
