"""Signs messages with a key that only this enclave has: KMS makes it, and gives it to no one else in plain.

At its start the app asks KMS for a data key, as any app would. The runtime's KMS proxy adds the proof of which image
asks, and opens the answer. Nothing here knows of it.

    POST /sign     the message; answers with its HMAC-SHA256 and the data key, encrypted by KMS
    GET /          the data key, encrypted by KMS: whoever may have it decrypted can check signatures
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

PORT = 8443
LONGEST_MESSAGE = 1 << 20


class Signer:
    """A data key, in plain to sign with and encrypted to show."""

    def __init__(self, plain: bytes, encrypted: bytes) -> None:
        self._plain = plain
        self.key = base64.b64encode(encrypted).decode()

    def sign(self, message: bytes) -> str:
        """Return a message's signature, in hexadecimal digits."""
        return hmac.new(self._plain, message, hashlib.sha256).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One client; the runtime has ended its TLS."""

    protocol_version = "HTTP/1.1"
    signer: Signer

    def do_GET(self) -> None:  # noqa: N802 - the standard library calls it so.
        """Show the encrypted key."""
        self._answer(200, {"key": self.signer.key})

    def do_POST(self) -> None:  # noqa: N802 - the standard library calls it so.
        """Sign the body."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/sign" or not length.isdecimal() or int(length) > LONGEST_MESSAGE:
            self.close_connection = True
            self._answer(400, {"error": f"POST /sign takes a message of at most {LONGEST_MESSAGE} bytes"})
            return
        signature = self.signer.sign(self.rfile.read(int(length)))
        self._answer(200, {"signature": signature, "key": self.signer.key})

    def _answer(self, status: int, document: dict[str, str]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Get a key from KMS, and sign with it until the enclave ends."""
    made = boto3.client("kms").generate_data_key(KeyId=os.environ["KMS_KEY_ID"], KeySpec="AES_256")
    Handler.signer = Signer(made["Plaintext"], made["CiphertextBlob"])
    print(f"signing with a data key of {made['KeyId']}, on port {PORT}", flush=True)
    with ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
