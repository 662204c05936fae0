"""Ask the attestation API, well and badly, over one connection; print what was asked and answered, as JSON."""

from __future__ import annotations

import base64
import http.client
import json

PORT = 9000

# The P-256 curve's base point, so the public key to the private key 1: nobody's.
KEY = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
PEM = f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(KEY).decode()}-----END PUBLIC KEY-----\n"

ALL = {
    "nonce": base64.b64encode(b"n" * 512).decode(),
    "user_data": base64.b64encode(bytes(range(256)) * 2).decode(),
    "public_key": PEM,
}
REQUESTS = [
    ("POST", "/v1/attestation", None),
    ("POST", "/v1/attestation", json.dumps(ALL)),
    ("POST", "/v1/attestation", '{"nonse": "AA=="}'),
    ("GET", "/v1/attestation", None),
    ("POST", "/v2/attestation", "{}"),
]


def main() -> None:
    """Ask, and print two lines."""
    print("asked:", json.dumps(ALL), flush=True)
    answers = []
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    for method, path, body in REQUESTS:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answers.append(
            {
                "status": answer.status,
                "type": answer.headers["Content-Type"],
                "allow": answer.headers["Allow"],
                "body": base64.b64encode(answer.read()).decode(),
            }
        )
    print("answers:", json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
