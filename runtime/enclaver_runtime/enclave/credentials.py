"""AWS credentials that the runtime signs with: those in the app's environment, else those of the instance's role."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import trio

from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave.http_client import HttpClient, HttpClientError, Incoming, Outgoing
from enclaver_runtime.enclave.outbound import ForbiddenError, OutboundError
from enclaver_runtime.protocol import imds
from enclaver_runtime.protocol.imds import ImdsError, RoleCredentials

#: For each of the three requests; the service is next to the parent.
ANSWER_SECONDS = 10.0

#: New ones are fetched so long before the old ones end; EC2 has them by then.
AHEAD_SECONDS = 300.0

#: But not more often than this, whatever their Expiration says.
PAUSE_SECONDS = 60.0

_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PART = re.compile(r"[!-~]*", re.ASCII)

Connect = Callable[[str, int], Awaitable[trio.SocketStream]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, as a signature needs it."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class CredentialsError(Exception):
    """There are none; the text says why, and what helps."""


class CredentialsSource(Protocol):
    """Where a signature's credentials come from."""

    async def get(self) -> Credentials:
        """Those that are valid now.

        Raises:
            CredentialsError: there are none.
        """


class StaticCredentials:
    """Credentials that stay the same."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def get(self) -> Credentials:
        """See :class:`CredentialsSource`."""
        return self._credentials


def of_environment(env: Mapping[str, str]) -> Credentials | None:
    """The credentials that an app's environment holds, as SDKs read them; None when it has not both parts.

    Raises:
        ConfigError: one has a character that no credentials have, so nothing could be signed with them.
    """
    access_key, secret_key, token = (env.get(name, "") for name in _VARIABLES)
    if not access_key or not secret_key:
        return None
    for name in _VARIABLES:
        if not _PART.fullmatch(env.get(name, "")):
            raise ConfigError(
                f"kms_proxy: {name} of the app's environment has a space, a line's end or another character that no "
                "credentials have: set it anew"
            )
    return Credentials(access_key, secret_key, token or None)


@dataclass(frozen=True, slots=True)
class _Held:
    credentials: Credentials
    refresh_at: float
    ends_at: float


class InstanceCredentials:
    """Those of the parent instance's role, from its metadata service.

    They are fetched when they are needed, and kept till shortly before they end. While they last, a service that
    fails harms nobody.

    Args:
        connect: gives a stream to a host's port; raises OutboundError.
        wall_clock: seconds since the epoch.
    """

    def __init__(self, connect: Connect, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._connect = connect
        self._wall_clock = wall_clock
        self._held: _Held | None = None
        # Whoever comes while they are being fetched waits for the same ones, or for the same failure: one after the
        # other would wait longer for a service that does not answer than SDKs do.
        self._turn = trio.Lock()
        self._failures = 0
        self._failure = ""

    async def get(self) -> Credentials:
        """See :class:`CredentialsSource`."""
        failures = self._failures
        async with self._turn:
            if self._failures != failures:
                raise CredentialsError(self._failure)
            now, held = trio.current_time(), self._held
            if held is not None and now < held.refresh_at:
                return held.credentials
            try:
                held = self._hold(await self._fetch())
            except CredentialsError as error:
                if held is None or now >= held.ends_at:
                    self._failures, self._failure = failures + 1, str(error)
                    raise
                held = _Held(held.credentials, now + PAUSE_SECONDS, held.ends_at)
            self._held = held
            return held.credentials

    def _hold(self, role: RoleCredentials) -> _Held:
        now, left = trio.current_time(), role.expiration - self._wall_clock()
        credentials = Credentials(role.access_key, role.secret_key, role.token)
        return _Held(credentials, now + max(left - AHEAD_SECONDS, PAUSE_SECONDS), now + left)

    async def _fetch(self) -> RoleCredentials:
        try:
            answer = await self._ask("PUT", imds.TOKEN_PATH, imds.token_request_headers())
            headers = imds.token_headers(imds.parse_token(_good(answer, "token")))
            answer = await self._ask("GET", imds.ROLES_PATH, headers)
            if answer.status == 404:
                raise CredentialsError(
                    "the parent instance has no IAM role: attach one to it, or set AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY in the app's environment"
                )
            role = imds.parse_role(_good(answer, "role"))
            answer = await self._ask("GET", imds.ROLES_PATH + role, headers)
            return imds.parse_credentials(_good(answer, "credentials"))
        except (ImdsError, HttpClientError) as error:
            raise CredentialsError(f"the instance metadata service ({imds.HOST}) fails: {error}") from error
        except ForbiddenError as error:
            raise CredentialsError(f"no credentials from the instance metadata service: {error}") from error
        except OutboundError as error:
            raise CredentialsError(f"the instance metadata service: {error}") from error

    async def _ask(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Incoming:
        request = Outgoing(
            method,
            path,
            [(b"Host", imds.HOST.encode()), (b"Connection", b"close"), *headers],
            # A PUT without a length is refused by some.
            b"" if method == "PUT" else None,
        )
        with trio.move_on_after(ANSWER_SECONDS):
            stream = await self._connect(imds.HOST, imds.PORT)
            async with stream:
                return await HttpClient(stream).exchange(request, max_body=imds.MAX_ANSWER)
        raise HttpClientError(f"it gave no answer within {ANSWER_SECONDS:g} s")


def _good(answer: Incoming, what: str) -> bytes:
    if answer.status != 200:
        raise ImdsError(f"asked for the {what}, it answered with status {answer.status}")
    return answer.body
