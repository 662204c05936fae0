"""The proxy between an unchanged boto3 client's requests and a KMS that verifies what it gets."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from enclaver_runtime.enclave.credentials import Credentials, CredentialsError, StaticCredentials
from enclaver_runtime.enclave.http_client import HttpClient, HttpClientError, Incoming, Outgoing
from enclaver_runtime.enclave.http_server import Limits
from enclaver_runtime.enclave.kms_key import KmsKey
from enclaver_runtime.enclave.kms_proxy import LIMITS, KmsProxy, serve_kms_proxy
from enclaver_runtime.enclave.outbound import ForbiddenError, LateError, OutboundError
from enclaver_runtime.enclave.security_module import NsmError, NsmUnavailableError
from enclaver_runtime.protocol.kms import Endpoint
from enclaver_runtime.transport.connections import connect_tcp, listen_tcp
from tests.fake_kms import PLAIN, SECRET, FakeKms
from tests.unit.enclaver_runtime.net import port_of

KEY = KmsKey()
HOST = "kms.us-east-1.amazonaws.com"
PREFIX = b"a document with "


def public_key_of(document: bytes) -> bytes:
    if not document.startswith(PREFIX):
        raise ValueError("not a document")
    return document.removeprefix(PREFIX)


@dataclass
class World:
    """All that is around the proxy: a KMS without a wire, a module, and what fails if it is set."""

    kms: FakeKms = field(default_factory=lambda: FakeKms({"ASIAROLE": ("role's secret", "token")}, public_key_of))
    endpoints: dict[str, str] = field(default_factory=dict)
    asked: list[Endpoint] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)
    changed: Callable[[dict[str, Any]], object] = dict
    key: KmsKey = KEY
    limits: Limits = LIMITS

    async def get(self) -> Credentials:
        self._fail("credentials")
        return await StaticCredentials(Credentials("ASIAROLE", "role's secret", "token")).get()

    async def attest(
        self, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> bytes:
        self._fail("module")
        assert public_key is not None
        assert (user_data, nonce) == (None, None)
        return PREFIX + public_key

    async def exchange(self, endpoint: Endpoint, request: Outgoing) -> Incoming:
        self._fail("upstream")
        self.asked.append(endpoint)
        assert (request.method, request.target) == ("POST", "/")
        assert request.body is not None
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        status, answer = self.kms.answer(headers, "/", request.body)
        body = json.dumps(self.changed(answer)).encode()
        fields = [(b"content-type", b"application/x-amz-json-1.1"), (b"x-amzn-requestid", b"r1")]
        return Incoming(status, [*fields, (b"content-length", b"%d" % len(body)), (b"connection", b"x")], body)

    def _fail(self, what: str) -> None:
        if (error := self.fails.get(what)) is not None:
            raise error

    def ask(self, *requests: Outgoing) -> list[Incoming]:
        """Send requests over one connection to a proxy in this world."""

        async def main() -> list[Incoming]:
            proxy = KmsProxy(
                endpoints=self.endpoints,
                credentials=self,
                upstream=self,
                key=self.key,
                security_module=self,
                tell=self.told.append,
            )
            listener = listen_tcp("127.0.0.1", 0)
            async with trio.open_nursery() as nursery:
                serve = functools.partial(serve_kms_proxy, proxy, listeners=[listener], limits=self.limits)
                await nursery.start(serve)
                with trio.fail_after(30):
                    async with await connect_tcp("127.0.0.1", port_of(listener)) as stream:
                        client = HttpClient(stream)
                        answers = [await client.exchange(request, max_body=1 << 20) for request in requests]
                nursery.cancel_scope.cancel()
            return answers

        return trio.run(main)

    def refused(self, request: Outgoing, status: int, code: str) -> str:
        """The message of the proxy's own answer."""
        (answer,) = self.ask(request)
        assert dict(answer.headers)[b"content-type"] == b"application/x-amz-json-1.1"
        error = json.loads(answer.body)
        assert (answer.status, error["__type"], error.keys()) == (status, code, {"__type", "message"})
        assert len(self.told) == 1
        assert self.told[0].startswith("kms_proxy: ")
        message: str = error["message"]
        assert repr(message) in self.told[0]
        return message


def call(
    action: str, body: dict[str, Any] | bytes, *, region: str = "us-east-1", service: str = "kms", **more: str
) -> Outgoing:
    """A call as an SDK in the app makes it, signed with credentials of its own."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Amz-Target": f"TrentService.{action}", "Content-Type": "application/x-amz-json-1.1", **more}
    request = AWSRequest("POST", "http://127.0.0.1:9999/", headers, data)
    SigV4Auth(BotoCredentials("AKIAAPP", "app's secret"), service, region).add_auth(request)
    signed = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    return Outgoing("POST", "/", [(b"Host", b"127.0.0.1:9999"), *signed], data)


@pytest.mark.parametrize("action", sorted(PLAIN))
def test_a_secret_is_asked_for_with_a_recipient_and_comes_back_opened(action: str) -> None:
    world = World()
    (answer,) = world.ask(call(action, {"KeyId": "alias/k", "N": 5}))
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "KeyId": "arn:aws:kms:us-east-1:111122223333:key/k",
        "Exact": 1.10,
        "CiphertextBlob": base64.b64encode(b"sealed for later").decode(),
        PLAIN[action]: base64.b64encode(SECRET).decode(),
    }
    headers = dict(answer.headers)
    assert headers[b"x-amzn-requestid"] == b"r1"
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    ((called, body),) = world.kms.calls
    assert called == action
    assert (body["KeyId"], body["N"]) == ("alias/k", 5)
    document = base64.b64decode(body["Recipient"]["AttestationDocument"])
    assert document == PREFIX + trio.run(KEY.public_key)
    assert world.asked == [Endpoint(HOST)]
    assert world.told == []


def test_kms_gets_the_role_s_signature_and_nothing_of_the_apps() -> None:
    world = World()
    more = {"User-Agent": "Boto3/1", "Cookie": "c", "amz-sdk-invocation-id": "i"}
    world.ask(call("Decrypt", {}, **more))
    (headers,) = world.kms.headers
    assert headers.keys() == {
        *("host", "authorization", "x-amz-date", "x-amz-security-token", "x-amz-target"),
        *("content-type", "user-agent", "amz-sdk-invocation-id"),
    }
    assert (headers["host"], headers["user-agent"]) == (HOST, "Boto3/1")
    assert "Credential=ASIAROLE/" in headers["authorization"]


@pytest.mark.parametrize("action", ["ListKeys", "Encrypt", "Sign", "ReEncrypt", "Anything"])
def test_other_actions_are_only_signed_again(action: str) -> None:
    world = World()
    # Not even JSON is asked for: it is KMS's to judge.
    (answer,) = world.ask(call(action, b'{ "Limit": 1.10 }'))
    assert answer.status == 200
    assert answer.body == json.dumps({"KeyId": "arn:aws:kms:us-east-1:111122223333:key/k", "Exact": 1.10}).encode()
    assert world.kms.calls == [(action, {"Limit": 1.10})]


def test_a_recipient_of_the_apps_own_is_the_apps_to_open() -> None:
    world = World(fails={"module": NsmUnavailableError("not asked")})
    own = PREFIX + trio.run(KEY.public_key)
    recipient = {
        "AttestationDocument": base64.b64encode(own).decode(),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }
    (answer,) = world.ask(call("Decrypt", {"Recipient": recipient}))
    body = json.loads(answer.body)
    assert trio.run(KEY.open, base64.b64decode(body["CiphertextForRecipient"])) == SECRET
    assert "Plaintext" not in body
    assert world.kms.calls == [("Decrypt", {"Recipient": recipient})]


def test_what_kms_refuses_comes_back_as_it_is() -> None:
    world = World()
    first, second = world.ask(call("Decrypt", {"KeyId": "alias/missing"}), call("Decrypt", {}))
    assert first.status == 400
    assert json.loads(first.body) == {"__type": "NotFoundException", "message": "Alias is not found."}
    assert second.status == 200
    assert world.told == []


def test_a_region_has_its_own_endpoint() -> None:
    world = World(endpoints={"eu-west-1": "kms.example:8443"})
    world.kms.region = "eu-west-1"
    (answer,) = world.ask(call("ListKeys", {}, region="eu-west-1"))
    assert answer.status == 200
    assert world.asked == [Endpoint("kms.example", 8443)]
    assert world.kms.headers[0]["host"] == "kms.example:8443"


def test_another_service_is_refused() -> None:
    message = World().refused(call("Decrypt", {}, service="s3"), 400, "KmsProxyRequestError")
    assert message == "the request is signed for the service 's3'; this is a proxy for kms"


def test_a_body_that_is_no_object_is_refused() -> None:
    message = World().refused(call("Decrypt", b"[1]"), 400, "KmsProxyRequestError")
    assert message.startswith("the request's body is no JSON object")


def test_a_body_that_is_too_long_is_refused() -> None:
    world = World(limits=Limits(body=10))
    message = world.refused(call("Decrypt", {"KeyId": "alias/long"}), 413, "KmsProxyRequestError")
    assert message == "the request's body is longer than 10 bytes"


@pytest.mark.parametrize(
    ("what", "error", "status", "code", "message"),
    [
        ("credentials", CredentialsError("no role"), 503, "KmsProxyCredentialsError", "no role"),
        ("module", NsmUnavailableError("no module"), 503, "KmsProxyAttestationError", "no module"),
        ("module", NsmError("refused", "InternalError"), 502, "KmsProxyAttestationError", "refused"),
        ("upstream", ForbiddenError("denied"), 403, "KmsProxyPolicyError", "KMS: denied"),
        ("upstream", OutboundError("refused"), 503, "KmsProxyConnectionError", "KMS: refused"),
        ("upstream", LateError("late"), 504, "KmsProxyConnectionError", "KMS: late"),
        ("upstream", HttpClientError("no TLS"), 502, "KmsProxyConnectionError", f"KMS at {HOST}: no TLS"),
    ],
)
def test_what_fails_is_told_as_kms_tells_its_errors(
    what: str, error: Exception, status: int, code: str, message: str
) -> None:
    world = World(fails={what: error})
    assert world.refused(call("Decrypt", {}), status, code) == message
    assert world.told[0].startswith(f"kms_proxy: Decrypt in us-east-1: {status} ")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda answer: {"Plaintext": "AA=="}, "KMS: its answer has no CiphertextForRecipient, so it has not looked"),
        (lambda answer: [], "KMS: its answer is no JSON object"),
        (lambda answer: {"CiphertextForRecipient": "AA=="}, "KMS: it is not CMS EnvelopedData"),
    ],
)
def test_an_answer_that_cannot_be_opened_is_none(changed: Callable[[dict[str, Any]], object], message: str) -> None:
    world = World(changed=changed)
    assert world.refused(call("Decrypt", {}), 502, "KmsProxyAnswerError").startswith(message)


def test_what_is_sealed_for_another_key_is_not_opened() -> None:
    world, other = World(key=KmsKey()), trio.run(KEY.public_key)
    world.kms.public_key_of = lambda document: other
    message = world.refused(call("Decrypt", {}), 502, "KmsProxyAnswerError")
    assert message == "KMS: CiphertextForRecipient cannot be opened with this enclave's key"
