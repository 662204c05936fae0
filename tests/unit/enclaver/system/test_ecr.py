from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import ecr, registry
from enclaver.system.docker_config import Credentials
from tests import fake_registry
from tests.fake_registry import FakeRegistry

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
PASSWORD = "a-password"
TOKEN = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeRegistry]:
    """Amazon's interface, on loopback; and nothing of the machine's own configuration."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_registry.serving() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", found.root)
        yield found


def gives(server: FakeRegistry, answer: object, status: int = 200) -> None:
    data = json.dumps(answer).encode()
    server.hooks["POST /"] = [fake_registry.status(status, data, {"Content-Type": "application/x-amz-json-1.1"})]
    server.forever = True


def test_a_password(server: FakeRegistry) -> None:
    gives(server, {"authorizationData": [{"authorizationToken": TOKEN, "proxyEndpoint": f"https://{HOST}"}]})
    assert ecr.credentials(HOST) == Credentials("AWS", PASSWORD)
    [(_, _, headers)] = server.requests
    assert headers["X-Amz-Target"] == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    assert "/eu-central-1/ecr/aws4_request" in headers["Authorization"]


def test_docker_s_configuration_goes_first(server: FakeRegistry, tmp_path: Path) -> None:
    gives(server, {"authorizationData": [{"authorizationToken": TOKEN}]})
    assert registry.login(HOST) == Credentials("AWS", PASSWORD)
    assert registry.login("registry.example.com") is None
    own = base64.b64encode(b"me:mine").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {HOST: {"auth": own}}}))
    assert registry.login(HOST) == Credentials("me", "mine")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr-ecr.us-east-1.on.aws",
    ],
)
def test_amazon_s_other_names(server: FakeRegistry, host: str) -> None:
    gives(server, {"authorizationData": [{"authorizationToken": TOKEN}]})
    assert ecr.credentials(host) == Credentials("AWS", PASSWORD)


@pytest.mark.parametrize(
    "host",
    [
        *("docker.io", "public.ecr.aws", f"{HOST}.example.com", f"x{HOST}", f"{HOST}:443"),
        "12345678901.dkr.ecr.eu-central-1.amazonaws.com",
    ],
)
def test_other_hosts_get_nothing_of_amazon_s(server: FakeRegistry, host: str) -> None:
    assert ecr.credentials(host) is None
    assert server.requests == []


@pytest.mark.parametrize(
    "answer", [{}, {"authorizationData": []}, {"authorizationData": [{"authorizationToken": "!"}]}]
)
def test_answers_that_are_none(server: FakeRegistry, answer: object) -> None:
    gives(server, answer)
    with pytest.raises(EnclaverError, match=f"AWS's answer for the registry {HOST} is no password"):
        ecr.credentials(HOST)


def test_a_refusal(server: FakeRegistry) -> None:
    gives(server, {"__type": "AccessDeniedException", "message": "aws-secret"}, 400)
    with pytest.raises(EnclaverError, match=f"no password for the registry {HOST}: AccessDeniedException\n") as caught:
        ecr.credentials(HOST)
    assert "aws-secret" not in str(caught.value)


def test_no_credentials(server: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(EnclaverError, match="NoCredentialsError\n  Give AWS credentials that may call"):
        ecr.credentials(HOST)
