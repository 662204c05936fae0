"""The service whole: an unchanged client's requests, through egress and the parent, to a KMS with TLS."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import trio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from enclaver_runtime.config import App, Config, ConfigError, Egress, KmsProxy
from enclaver_runtime.enclave.kms_service import kms_service
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.parent.egress import serve_egress
from enclaver_runtime.protocol import frames
from enclaver_runtime.protocol.policy import Policy
from enclaver_runtime.transport import vsock
from enclaver_runtime.transport.connections import listen_tcp
from tests.certificates import Authority
from tests.fake_kms import SECRET, FakeKms
from tests.unit.enclaver_runtime.net import port_of

AUTHORITY = Authority()

#: Status and JSON object.
Answer = tuple[int, dict[str, Any]]


class Module:
    """A security module whose document is the public key."""

    async def attest(
        self, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> bytes:
        return public_key or b""


def config(port: int, kms_port: int, env: Mapping[str, str], *, allow: tuple[str, ...] | None = None) -> Config:
    allowed = ("127.0.0.1",) if allow is None else allow
    return Config(
        app=App(argv=("/app",), env=env, cwd="/", uid=1, gid=1),
        egress=Egress(10000, allowed, ()) if allowed else None,
        ingress=(),
        kms_proxy=KmsProxy(port, {"us-east-1": f"127.0.0.1:{kms_port}"}),
        api=None,
    )


def ask(port: int, action: str, body: dict[str, object]) -> Answer:
    """Call KMS as an app's SDK does, in a thread; status and answer."""
    headers = {"X-Amz-Target": f"TrentService.{action}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"http://127.0.0.1:{port}/", headers, json.dumps(body))
    SigV4Auth(Credentials("AKIAAPP", "app's"), "kms", "us-east-1").add_auth(request)
    plain = Request(f"http://127.0.0.1:{port}/", json.dumps(body).encode(), dict(request.headers.items()))
    try:
        with urlopen(plain, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def free_port() -> int:
    async def main() -> int:
        async with listen_tcp("127.0.0.1", 0) as spare:
            return port_of(spare)

    return trio.run(main)


def served(folder: Path, config: Config, *calls: tuple[str, dict[str, object]]) -> tuple[list[Answer], list[str]]:
    """Serve ``config`` with a parent beside it; the answers to ``calls``, and what was told."""
    told: list[str] = []
    path = str(folder / "vm")

    async def connect(cid: int, port: int) -> trio.SocketStream:
        if cid != 2:
            await trio.sleep_forever()
        return await trio.open_unix_socket(f"{path}_{port}")

    async def main() -> list[Answer]:
        service = kms_service(
            config, root=str(folder), link=ParentLink(connect), security_module=Module, tell=told.append
        )
        allow = config.egress.allow if config.egress else ()
        parent = functools.partial(
            serve_egress,
            listener=vsock.listen_hybrid(path, frames.PORT),
            policy=Policy(allow=allow, deny=()),
            tell=told.append,
        )
        assert config.kms_proxy is not None
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(parent)
                await nursery.start(service)
                answers = [await trio.to_thread.run_sync(ask, config.kms_proxy.listen_port, *one) for one in calls]
                nursery.cancel_scope.cancel()
        return answers

    return trio.run(main), told


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").write_bytes(AUTHORITY.pem)
    return tmp_path


STATIC = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "static"}


def test_calls_go_through_egress_over_tls_on_one_connection(root: Path) -> None:
    kms = FakeKms({"AKIASTATIC": ("static", None)}, lambda document: document)
    with kms.serving(root, AUTHORITY) as port:
        answers, told = served(
            root,
            config(free_port(), port, STATIC),
            ("Decrypt", {}),
            ("GenerateDataKey", {"KeyId": "k"}),
            ("ListKeys", {}),
        )
    plain = base64.b64encode(SECRET).decode()
    assert [(status, body.get("Plaintext")) for status, body in answers] == [(200, plain), (200, plain), (200, None)]
    assert [action for action, _ in kms.calls] == ["Decrypt", "GenerateDataKey", "ListKeys"]
    assert ["Recipient" in body for _, body in kms.calls] == [True, True, False]
    assert kms.connections == 1
    assert told == ["kms_proxy: signs with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the app's environment"]


def test_what_the_policy_does_not_allow_is_not_reached(root: Path) -> None:
    for allow in ((), ("other.example",)):
        ((status, body),), _ = served(root, config(free_port(), 1, STATIC, allow=allow), ("ListKeys", {}))
        assert (status, body["__type"]) == (403, "KmsProxyPolicyError")
        assert "add 127.0.0.1 to egress.allow" in body["message"]


def test_without_credentials_of_the_apps_the_instances_are_asked_for(root: Path) -> None:
    ((status, body),), told = served(root, config(free_port(), 1, {}), ("ListKeys", {}))
    assert (status, body["__type"]) == (503, "KmsProxyCredentialsError")
    assert "add 169.254.169.254 to egress.allow" in body["message"]
    assert not any("AWS_ACCESS_KEY_ID" in line for line in told)


def test_an_image_whose_credentials_cannot_be_such_does_not_start(root: Path) -> None:
    with pytest.raises(ConfigError, match="kms_proxy: AWS_SESSION_TOKEN of the app's environment"):
        served(root, config(1, 1, {**STATIC, "AWS_SESSION_TOKEN": "a\nb"}))


def test_an_image_without_certificates_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kms_proxy: the CA bundle"):
        served(tmp_path, config(1, 1, {}))
