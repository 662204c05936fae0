"""The instance metadata service, version 2, as far as it gives out the credentials of the instance's role.

A token is asked for first (PUT), and sent with what follows. Source: "Use the Instance Metadata Service" of the EC2
user guide.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

HOST = "169.254.169.254"
PORT = 80

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path, no password.
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"

#: Bytes of an answer; a role's credentials are some 1,500.
MAX_ANSWER = 64 * 1024

# It is used at once, three times; seconds.
_TOKEN_SECONDS = 60
# What IAM allows in a role's name; it becomes part of a path.
_ROLE = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)
# Of a role's credentials every part is of these characters; two become parts of headers.
_PART = re.compile(r"[!-~]+", re.ASCII)


class ImdsError(ValueError):
    """An answer is not what this service gives; the text says which, and quotes no secret."""


@dataclass(frozen=True, slots=True)
class RoleCredentials:
    """A role's credentials, and when they end (seconds since the epoch)."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expiration: float = 0.0


def token_request_headers() -> list[tuple[bytes, bytes]]:
    """The headers that ask for a token."""
    return [(b"X-aws-ec2-metadata-token-ttl-seconds", b"%d" % _TOKEN_SECONDS)]


def token_headers(token: str) -> list[tuple[bytes, bytes]]:
    """The headers of a request that has its token."""
    return [(b"X-aws-ec2-metadata-token", token.encode("ascii"))]


def parse_token(body: bytes) -> str:
    """Read a token.

    Raises:
        ImdsError: it is none.
    """
    return _matched(body, _TOKEN, "token")


def parse_role(body: bytes) -> str:
    """Read the name of the instance's role.

    Raises:
        ImdsError: it is none.
    """
    return _matched(body.partition(b"\n")[0], _ROLE, "role's name")


def parse_credentials(body: bytes) -> RoleCredentials:
    """Read a role's credentials.

    Raises:
        ImdsError: they are not there, or not in the form that the user guide shows.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ImdsError("its credentials are not JSON") from error
    match document:
        case {
            "AccessKeyId": str(access_key),
            "SecretAccessKey": str(secret_key),
            "Token": str(token),
            "Expiration": str(expiration),
        } if all(_PART.fullmatch(part) for part in (access_key, secret_key, token)):
            return RoleCredentials(access_key, secret_key, token, _time(expiration))
        case {"Code": str(code)} if code != "Success":
            raise ImdsError(f"it has no credentials for the role: {code[:80]!a}")
    raise ImdsError("its credentials lack a part, or one is not a text of printable ASCII characters")


def _matched(body: bytes, pattern: re.Pattern[str], what: str) -> str:
    text = body.decode("latin-1").strip()
    if not pattern.fullmatch(text):
        raise ImdsError(f"it gave no {what}")
    return text


def _time(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ImdsError("its credentials' Expiration is no time") from error
