"""How one proves to a registry who one is: Basic, and Bearer tokens from the server that the registry names.

Source: Docker's distribution, "Token Authentication Specification" and "OAuth2 token authentication"; RFC 7235 for the
challenge. Tokens are kept in memory, one a repository and purpose, and are in no ``repr`` and no error.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from enclaver.system.docker_config import Credentials
from enclaver.system.registry_http import Http, PassingError, RegistryError, host_of, is_local

_CLIENT: Final = "enclaver"
_LONGEST_CHALLENGE: Final = 4096
_LONGEST_ANSWER: Final = 1 << 20
_LONGEST_TOKEN: Final = 1 << 16
_SCHEME: Final = re.compile(r"(?:^|,)\s*(Bearer|Basic)(?=\s|$)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
# RFC 6750's alphabet. Whatever else is in it can be no header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_FAILING: Final = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be done with a repository: read it, or write it too."""

    repository: str
    push: bool = False

    def __str__(self) -> str:
        return f"repository:{self.repository}:pull{',push' if self.push else ''}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry asks for: ``Basic``, or ``Bearer`` with where tokens are given."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenge(header: str) -> Challenge | None:
    """Parse a WWW-Authenticate header: its Bearer challenge if it has one, else Basic; None when it has neither."""
    found = {}
    marks = list(_SCHEME.finditer(header[:_LONGEST_CHALLENGE]))
    for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), _LONGEST_CHALLENGE], strict=False):
        text = header[mark.end() : end]
        values = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(text)}
        found[mark[1].capitalize()] = values
    for scheme in ("Bearer", "Basic"):
        if scheme in found:
            return Challenge(scheme, *(found[scheme].get(key, "") for key in ("realm", "service", "scope")))
    return None


class Authorizer:
    """The authorization for one registry; safe for several threads.

    Args:
        host: the registry, as messages name it.
        http: for asking token servers.
        credentials: asked once, and only when the registry wants to know who asks.
    """

    def __init__(self, host: str, http: Http, credentials: Callable[[], Credentials | None]) -> None:
        self._host = host
        self._http = http
        self._ask = credentials
        self._asked = False
        self._credentials: Credentials | None = None
        self._basic = False
        self._tokens: dict[Scope, str] = {}
        self._lock = threading.RLock()

    def header(self, scope: Scope) -> str | None:
        """Return the Authorization header to send, as far as it is known yet."""
        with self._lock:
            if self._basic and self._credentials:
                return _basic(self._credentials)
            token = self._tokens.get(scope)
            return None if token is None else f"Bearer {token}"

    def answer(self, header: str, scope: Scope, refused: str | None) -> str:
        """Answer a challenge and return the Authorization header for it.

        Args:
            header: WWW-Authenticate.
            scope: what is to be done.
            refused: the Authorization that was sent and that the registry did not take.

        Raises:
            RegistryError: there is nothing to answer it with, or the token server refuses.
            PassingError: the token server can't be asked now.
        """
        with self._lock:
            known = self.header(scope)
            if known is not None and known != refused:
                return known  # Another thread was here first.
            challenge = parse_challenge(header)
            who = self._who()
            if challenge is None:
                raise RegistryError(f"the registry {self._host} asks for a login of a kind that is not known")
            if challenge.scheme == "Basic":
                if who is None or self._basic or not who.username:
                    raise self.refused(401)
                self._basic = True
                return _basic(who)
            self._tokens[scope] = self._token(challenge, scope, who)
            return f"Bearer {self._tokens[scope]}"

    def refused(self, status: int) -> RegistryError:
        """Return the error for a login that is missing or not enough."""
        known = self._credentials is not None
        what = "does not take the login that docker's configuration has" if known else "asks for a login"
        return RegistryError(
            f"the registry {self._host} {what}",
            cure=f"`docker login {self._host}` with an account that may.",
            status=status,
        )

    def hidden(self, text: str) -> bool:
        """Whether a text has anything secret in it, so that it must not be shown."""
        with self._lock:
            secrets = list(self._tokens.values())
            if self._credentials:
                secrets += [self._credentials.password, self._credentials.identity_token]
                secrets.append(_basic(self._credentials).partition(" ")[2])
        return any(secret and secret in text for secret in secrets)

    def _who(self) -> Credentials | None:
        if not self._asked:
            self._credentials = self._ask()
            self._asked = True
        return self._credentials

    def _token(self, challenge: Challenge, scope: Scope, who: Credentials | None) -> str:
        server = host_of(challenge.realm)
        # A remote registry has no business with what listens on this machine.
        if is_local(server) and not self._http.may_be_plain(self._host):
            raise RegistryError(f"the registry {self._host} names a token server on this machine")
        fields = {"service": challenge.service, "scope": challenge.scope or str(scope)}
        headers = {"Accept": "application/json"}
        if who is not None and who.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": who.identity_token, **fields}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            data = self._asked_for("POST", challenge.realm, headers, urlencode(form).encode(), server)
        else:
            if who is not None:
                headers["Authorization"] = _basic(who)
            query = urlencode({name: value for name, value in fields.items() if value})
            glue = "&" if "?" in challenge.realm else "?"
            data = self._asked_for("GET", f"{challenge.realm}{glue}{query}", headers, None, server)
        return _read_token(data, server)

    def _asked_for(self, method: str, url: str, headers: dict[str, str], body: bytes | None, server: str) -> bytes:
        with self._http.exchange(method, url, headers, body) as answer:
            if answer.status == 429 or answer.status >= _FAILING:
                raise PassingError(f"the token server {server} answers {answer.status}")
            if answer.status in (400, 401, 403):
                raise self.refused(answer.status)
            if answer.status != 200:
                raise RegistryError(f"the token server {server} of {self._host} answers {answer.status}")
            return answer.body(_LONGEST_ANSWER)


def _basic(who: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{who.username}:{who.password}".encode()).decode()


def _read_token(data: bytes, server: str) -> str:
    try:
        found = json.loads(data)
        token = found.get("token") or found.get("access_token")
    except (ValueError, RecursionError, AttributeError) as error:
        raise RegistryError(f"the token server {server} answers with something that is no JSON object") from error
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise RegistryError(f"the token server {server} answers without a token")
    return token
