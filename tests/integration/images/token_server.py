"""A token server for a real registry: it signs what Docker's distribution calls a bearer token.

Source: Docker's distribution, "Token Authentication Implementation". The registry trusts the certificate's key.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.certificates import ec_key, self_signed

ISSUER, SERVICE = "tests", "registry of tests"
_SECONDS = 60


@dataclass
class TokenServer:
    """Who may do what, and what was asked for.

    Args:
        passwords: by name. Whoever has none may pull; they may push too.
        seconds: how long a token is good.
        scopes: of the tokens that were given out.
    """

    key: ec.EllipticCurvePrivateKey
    passwords: dict[str, str]
    seconds: int = _SECONDS
    scopes: list[tuple[str, str]] = field(default_factory=list)
    realm: str = ""

    def settings(self, folder: Path) -> list[str]:
        """The registry's settings to trust it; its certificate is written into a folder."""
        (folder / "token.pem").write_bytes(self_signed(self.key))
        return [
            *("auth:", "  token:", f"    realm: {self.realm}", f"    service: {SERVICE}", f"    issuer: {ISSUER}"),
            f"    rootcertbundle: {folder}/token.pem",
        ]

    def token(self, user: str, scope: str) -> str:
        """A signed token for what the user may do of a scope."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        allowed = [each for each in actions.split(",") if each == "pull" or (each == "push" and user)]
        self.scopes.append((user, scope))
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "jti": str(len(self.scopes)),
            "exp": now + self.seconds,
            "nbf": now - 10,
            "iat": now,
            "access": [{"type": kind, "name": name, "actions": allowed}],
        }
        header = {"typ": "JWT", "alg": "ES256", "kid": key_id(self.key)}
        signed = f"{_part(header)}.{_part(claims)}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def key_id(key: ec.EllipticCurvePrivateKey) -> str:
    """libtrust's name of a key: 240 bits of the digest of its DER, in base 32, in groups of four."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _part(value: Any) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def serving(passwords: dict[str, str]) -> Iterator[TokenServer]:
    """Serve tokens on loopback."""
    found = TokenServer(ec_key(), passwords)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            given = self.headers.get("Authorization", "")
            name, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            if given and found.passwords.get(name) != password:
                self.send_error(401)
                return
            data = json.dumps({"token": found.token(name, query["scope"][0])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.realm = f"http://127.0.0.1:{server.server_address[1]}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
