"""A stand-in for AWS KMS: TLS, signatures verified by botocore, documents checked by the test, answers in CMS."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.certificates import Authority, Identity, ec_key, key_pem
from tests.cms_messages import seal
from tests.fake_kms_keys import FakeSigningKey

#: What it knows: the secret that it gives out for everything.
SECRET = bytes(range(32))

#: The member of an answer that has the secret when nobody attests.
PLAIN = {"Decrypt": "Plaintext", "GenerateDataKey": "Plaintext", "GenerateRandom": "Plaintext"}
PLAIN |= {"GenerateDataKeyPair": "PrivateKeyPlaintext", "DeriveSharedSecret": "SharedSecret"}


@dataclass
class FakeKms:
    """What it checks with, and what has come.

    Args:
        credentials: access keys to secret key and session token.
        public_key_of: checks an attestation document and gives the public key in it (DER); raises ValueError.
        region: the only one it serves.
    """

    credentials: dict[str, tuple[str, str | None]]
    public_key_of: Callable[[bytes], bytes]
    region: str = "us-east-1"
    #: Keys that sign, by what they are called; without any, those actions are answered like others.
    signing: dict[str, FakeSigningKey] = field(default_factory=dict)
    #: Action and body of what has passed every check.
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    #: Headers of all that has come.
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0

    def answer(self, headers: dict[str, str], path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer a request with a status and a JSON object."""
        self.headers.append(headers)
        if (refused := self._signature_problem(headers, path, body)) is not None:
            return 400, {"__type": "InvalidSignatureException", "message": refused}
        action = headers["x-amz-target"].removeprefix("TrentService.")
        document: dict[str, Any] = json.loads(body)
        if document.get("KeyId") == "alias/missing":
            return 400, {"__type": "NotFoundException", "message": "Alias is not found."}
        if self.signing and action in ("GetPublicKey", "Sign"):
            self.calls.append((action, document))
            if document["KeyId"] not in self.signing:
                return 400, {"__type": "NotFoundException", "message": "Key is not found."}
            return self.signing[document["KeyId"]].answer(action, document)
        answer: dict[str, Any] = {"KeyId": "arn:aws:kms:us-east-1:111122223333:key/k", "Exact": 1.10}
        if action in PLAIN:
            answer["CiphertextBlob"] = base64.b64encode(b"sealed for later").decode()
            recipient = document.get("Recipient")
            if recipient is None:
                answer[PLAIN[action]] = base64.b64encode(SECRET).decode()
            else:
                try:
                    answer["CiphertextForRecipient"] = self._sealed(recipient)
                except ValueError as error:
                    return 400, {"__type": "ValidationException", "message": str(error)}
        self.calls.append((action, document))
        return 200, answer

    def _sealed(self, recipient: dict[str, str]) -> str:
        if recipient.keys() != {"AttestationDocument", "KeyEncryptionAlgorithm"}:
            raise ValueError(f"a Recipient with {sorted(recipient)}")
        if recipient["KeyEncryptionAlgorithm"] != "RSAES_OAEP_SHA_256":
            raise ValueError(recipient["KeyEncryptionAlgorithm"])
        document = base64.b64decode(recipient["AttestationDocument"], validate=True)
        return base64.b64encode(seal(SECRET, self.public_key_of(document))).decode()

    def _signature_problem(self, headers: dict[str, str], path: str, body: bytes) -> str | None:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if scheme != "AWS4-HMAC-SHA256" or fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
            return "not signed"
        access_key, _, scope = fields["Credential"].partition("/")
        if access_key not in self.credentials:
            return f"{access_key} is unknown"
        if scope.split("/")[1:] != [self.region, "kms", "aws4_request"]:
            return f"signed for {scope}"
        secret_key, token = self.credentials[access_key]
        if headers.get("x-amz-security-token") != token:
            return "another session token"
        signed = fields["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", "x-amz-target", "content-type"}.issubset(signed):
            return f"only {signed} are signed"
        request = AWSRequest("POST", f"https://{headers['host']}{path}", {n: headers[n] for n in signed}, body)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(Credentials(access_key, secret_key, token), "kms", self.region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return None if signer.signature(text, request) == fields["Signature"] else "the signature is another"

    @contextmanager
    def serving(self, folder: Path, authority: Authority, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
        """Serve on TLS with a certificate of ``authority``; the port. Files are made in ``folder``."""
        kms = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                kms.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, answer = kms.answer(headers, self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("x-amzn-RequestId", f"request-{len(kms.headers)}")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                # Clients hang up as they please; what they did not like is theirs to say.
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = ec_key()
        identity = Identity(authority.certificate(key, ["localhost", address]) + authority.pem, key_pem(key))
        context.load_cert_chain(*identity.write(folder))
        with Server((address, port), Handler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()
                thread.join()
