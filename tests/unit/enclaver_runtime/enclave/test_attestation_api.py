"""The API with clients of all kinds in front and modules of all kinds behind."""

from __future__ import annotations

import functools
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from trio.testing import trio_test

from enclaver_runtime.enclave.attestation_api import serve_api
from enclaver_runtime.enclave.security_module import (
    Module,
    NsmError,
    NsmUnavailableError,
    SecurityModule,
    device_module,
)
from enclaver_runtime.parent.development_attestation import DevelopmentAttestation
from enclaver_runtime.transport.connections import listen_tcp
from tests.attestation import verify
from tests.certificates import ec_key
from tests.unit.enclaver_runtime.net import port_of

KEY = ec_key().public_key()
PEM = KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
DER = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class Echo:
    """A module whose documents are what they carry."""

    async def attest(
        self, *, user_data: bytes | None = None, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> bytes:
        await trio.lowlevel.checkpoint()
        return cbor2.dumps([user_data, nonce, public_key])


class Failing:
    """A module that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def attest(self, **_: bytes | None) -> bytes:
        await trio.lowlevel.checkpoint()
        raise self._error


class Answer:
    """What the API answered, through the standard library's client."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()


class Api:
    """A running API."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, *requests: tuple[str, str, Any]) -> list[Answer]:
        """Method, target and body (JSON, unless bytes or None) of requests on one connection; the answers."""

        def ask() -> list[Answer]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            answers = []
            for method, target, body in requests:
                data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
                connection.request(method, target, data)
                answers.append(Answer(connection.getresponse()))
            connection.close()
            return answers

        return await trio.to_thread.run_sync(ask)

    async def post(self, body: Any) -> Answer:
        (answer,) = await self.ask(("POST", "/v1/attestation", body))
        return answer


@asynccontextmanager
async def api(module: SecurityModule | None = None) -> AsyncIterator[Api]:
    listener = listen_tcp("127.0.0.1", 0)
    serve = functools.partial(serve_api, listeners=[listener], security_module=module or Echo())
    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        with trio.fail_after(30):
            yield Api(port_of(listener))
        nursery.cancel_scope.cancel()


@trio_test
async def test_a_document_comes_as_it_is() -> None:
    async with api() as one:
        bare = await one.post(None)
        full = await one.post({"nonce": "bg==", "user_data": "dQ==", "public_key": PEM})
    assert (bare.status, bare.headers["Content-Type"]) == (200, "application/cbor")
    assert cbor2.loads(bare.body) == [None, None, None]
    assert cbor2.loads(full.body) == [b"u", b"n", DER]


@trio_test
async def test_a_real_clients_document_is_verified_by_a_stranger() -> None:
    attestation = DevelopmentAttestation({0: b"\x07" * 48})

    async def exchange(request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return attestation._nsm.respond(request)

    async with api(Module(exchange)) as one:
        answer = await one.post({"nonce": "bm9uY2U=", "public_key": PEM})
    fields = verify(answer.body, attestation.root_pem)
    assert (fields["nonce"], fields["user_data"], fields["public_key"]) == (b"nonce", None, DER)
    assert fields["pcrs"][0] == b"\x07" * 48


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (("POST", "/v1/attestation", b"{"), 400, b"the body is not JSON in UTF-8"),
        (("POST", "/v1/attestation", {"nonse": ""}), 400, b"'nonse' is not a key of an attestation request"),
        (("POST", "/v1/attestation", {"nonce": 7}), 400, b"nonce must be a text"),
        (("POST", "/v1/attestation", {"nonce": "*"}), 400, b"nonce is not base64"),
        (("POST", "/v1/attestation", {"nonce": "A" * 684}), 400, b"nonce is 513 bytes long, the security module takes"),
        (("POST", "/v1/attestation", {"public_key": "x"}), 400, b"public_key is no PEM"),
        (("POST", "/v1/attestation", bytes(16385)), 413, b"the request's body is longer than 16384 bytes"),
        (("GET", "/v1/attestation", None), 405, b"/v1/attestation takes POST"),
        (("OPTIONS", "/v1/attestation", None), 405, b"/v1/attestation takes POST"),
        (("POST", "/", None), 404, b"there is nothing here but /v1/attestation"),
        (("POST", "/v1/attestation/", None), 404, b"there is nothing here but /v1/attestation"),
        (("GET", "/v1/Attestation", None), 404, b"there is nothing here but /v1/attestation"),
        (("POST", "*", None), 404, b"there is nothing here but /v1/attestation"),
    ],
)
@trio_test
async def test_refusals_say_why(request_: tuple[str, str, Any], status: int, text: bytes) -> None:
    async with api() as one:
        (answer,) = await one.ask(request_)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=us-ascii")
    assert answer.body.startswith(text)
    assert answer.body.count(b"\n") == 1
    assert answer.headers["Allow"] == ("POST" if status == 405 else None)


@trio_test
async def test_a_refusal_leaves_the_connection_for_the_next_request() -> None:
    requests = [("GET", "/", None), ("HEAD", "/v1/attestation", None), ("POST", "/v1/attestation", {"x": 1})]
    async with api() as one:
        answers = await one.ask(*requests, ("POST", "http://127.0.0.1:9000/v1/attestation?x=y", None))
    assert [answer.status for answer in answers] == [404, 405, 400, 200]
    assert answers[1].body == b""
    assert all(answer.headers["Connection"] is None for answer in answers)


@pytest.mark.parametrize(
    ("error", "status"),
    [(NsmUnavailableError("no module here"), 503), (NsmError("it refused: InternalError", "InternalError"), 502)],
)
@trio_test
async def test_a_module_that_fails_is_told_and_asked_again(error: Exception, status: int) -> None:
    async with api(Failing(error)) as one:
        for _ in range(2):
            answer = await one.post(None)
            assert (answer.status, answer.body.decode()) == (status, f"{error}\n")


@trio_test
async def test_without_a_module_503_says_so(tmp_path: Path) -> None:
    async with api(device_module(str(tmp_path / "nsm"))) as one:
        answer = await one.post(None)
    assert answer.status == 503
    assert answer.body.startswith(b"this enclave has no security module (")
    assert answer.body.endswith(b"so it cannot prove what it is\n")


@trio_test
async def test_many_clients_at_once_get_their_own(tmp_path: Path) -> None:
    async with api() as one, trio.open_nursery() as nursery:

        async def ask(number: int) -> None:
            answer = await one.post({"nonce": f"{number:04d}"})
            assert cbor2.loads(answer.body)[1] is not None
            seen.add(answer.body)

        seen: set[bytes] = set()
        for number in range(20):
            nursery.start_soon(ask, number)
    assert len(seen) == 20
