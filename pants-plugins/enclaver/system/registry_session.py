"""Requests to one registry: authorized, redirected, tried again; every failure one clear error."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from http import HTTPStatus
from threading import Event
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

from enclaver.system import download
from enclaver.system.docker_config import Credentials
from enclaver.system.registry_auth import Authorizer, Scope
from enclaver.system.registry_http import GRACE, TIMEOUT, Answer, Body, Http, PassingError, RegistryError, shown

_T = TypeVar("_T")
_DOCKER_HUB: Final = "docker.io"
#: Where Docker Hub's registry is; its name in references has only a website.
_DOCKER_HUB_HOST: Final = "registry-1.docker.io"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 5
_PASSING: Final = (408, 429, 500, 502, 503, 504)
#: A registry that wants a longer pause is not waited for, in seconds.
_LONGEST_PAUSE: Final = 60.0
_LONGEST_COMPLAINT: Final = 1 << 16
_SHOWN: Final = 300


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class Session:
    """Speaks with one registry; safe for several threads.

    Args:
        host: as references name it: ``docker.io``, ``registry.example.com:5000``.
        credentials: asked for who asks, once, when the registry wants to know.
        insecure: plain http may be spoken with it (with this machine it is in any case).
        timeout, grace: as of ``Http``.
        pauses: seconds before each further try.
        wait: spends a pause.
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: Callable[[], Credentials | None],
        insecure: bool = False,
        timeout: float = TIMEOUT,
        grace: float = GRACE,
        pauses: Sequence[float] = download.PAUSES,
        wait: Callable[[float], None] = _sleep,
    ) -> None:
        self.host = host
        self._http = Http(insecure=[host] if insecure else [], timeout=timeout, grace=grace)
        self._authorizer = Authorizer(host, self._http, credentials)
        self._pauses = tuple(pauses)
        self._wait = wait
        real = _DOCKER_HUB_HOST if host == _DOCKER_HUB else host
        # On this machine a registry speaks plain http, unless it is on the port of https.
        plain = self._http.may_be_plain(host) and urlsplit(f"//{host}").port != 443
        self._root = f"{'http' if plain else 'https'}://{real}/v2/"

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def persist(self, operation: Callable[[], _T], stop: Event | None = None) -> _T:
        """Do something until it succeeds or fails for good.

        Args:
            stop: once it is set, no pause is spent any more; the operation itself has to end then.

        Raises:
            RegistryError: it failed for good, or once more often than there are pauses.
        """
        for pause in (*self._pauses, None):
            try:
                return operation()
            except PassingError as error:
                if pause is None or error.pause > _LONGEST_PAUSE:
                    later = f"; it wants to be asked again in {error.pause:.0f} s" if error.pause else ""
                    raise RegistryError(
                        f"the registry {self.host} can't be asked: {error}{later}",
                        cure="Check its name, the network and the proxy's settings, or try again later.",
                    ) from error
                seconds = max(pause, error.pause)
                if stop is None:
                    self._wait(seconds)
                else:
                    stop.wait(seconds)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        accept: Collection[int] = (200,),
    ) -> Iterator[Answer]:
        """Send one request and yield the answer.

        Args:
            path: below the registry's root, or a whole URL that the registry gave.
            scope: what it is part of.
            body: sent again when the registry first wants to know who asks.
            accept: the statuses that are answers.

        Raises:
            PassingError: another try may help.
            RegistryError: it won't.
        """
        url = urljoin(self._root, path)
        with self._authorized(method, url, scope, headers or {}, body) as answer:
            if answer.status not in accept:
                raise self._complaint(method, answer)
            yield answer

    @contextmanager
    def _authorized(
        self, method: str, url: str, scope: Scope, headers: Mapping[str, str], body: Body | bytes | None
    ) -> Iterator[Answer]:
        # Twice: a token that was good may have run out meanwhile, and the one after it is what counts.
        for last in (False, False, True):
            sent = self._authorizer.header(scope)
            with self._followed(method, url, headers, sent, body) as answer:
                if answer.status != HTTPStatus.UNAUTHORIZED or not self._is_ours(answer.url):
                    yield answer
                    return
                if last:
                    break
                challenge = answer.header("WWW-Authenticate")
            self._authorizer.answer(challenge, scope, sent)
        raise self._authorizer.refused(HTTPStatus.UNAUTHORIZED)

    @contextmanager
    def _followed(
        self, method: str, url: str, headers: Mapping[str, str], authorization: str | None, body: Body | bytes | None
    ) -> Iterator[Answer]:
        """Send a request, and follow where the registry keeps its blobs elsewhere."""
        for _ in range(_MOST_REDIRECTS + 1):
            # Whoever else is asked learns nothing of who asks: storage has its own signature in the URL.
            known = {"Authorization": authorization} if authorization and self._is_ours(url) else {}
            with self._http.exchange(method, url, {**headers, **known}, body) as answer:
                if answer.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                    yield answer
                    return
                place = answer.header("Location")
                if not place:
                    raise RegistryError(f"the registry {self.host} answers {answer.status} without saying where to go")
                url = self.located(answer, place)
        raise RegistryError(f"the registry {self.host} redirects from one place to the next without end")

    def located(self, answer: Answer, place: str) -> str:
        """Return where an answer's Location leads.

        Raises:
            RegistryError: it is no URL, or leads from https to plain http.
        """
        try:
            url = urljoin(answer.url, place)
            scheme = urlsplit(url).scheme
        except ValueError as error:
            raise RegistryError(f"the registry {self.host} names a place that is no URL") from error
        if scheme == "http" and urlsplit(answer.url).scheme == "https":
            raise RegistryError(f"the registry {self.host} leads from https to plain http ({shown(url)})")
        return url

    def _is_ours(self, url: str) -> bool:
        ours, other = urlsplit(self._root), urlsplit(url)
        return (ours.scheme, ours.netloc.lower()) == (other.scheme, other.netloc.lower())

    def _complaint(self, method: str, answer: Answer) -> Exception:
        """Return the error for an answer that is none."""
        told = "" if method == "HEAD" else self._told(answer)
        if answer.status in _PASSING:
            return PassingError(f"HTTP {answer.status}{told}", pause=_retry_after(answer.header("Retry-After")))
        if answer.status == HTTPStatus.FORBIDDEN and self._is_ours(answer.url):
            return RegistryError(
                f"the registry {self.host} does not allow it{told}",
                cure=f"`docker login {self.host}` with an account that may.",
                status=answer.status,
            )
        return RegistryError(
            f"the registry {self.host} answers {answer.status} to {method} {shown(answer.url)}{told}",
            status=answer.status,
        )

    def _told(self, answer: Answer) -> str:
        """Return what the registry says about it, if it says so as registries do and nothing secret is in it."""
        try:
            first = json.loads(answer.body(_LONGEST_COMPLAINT))["errors"][0]
            text = f"{first['code']}: {first.get('message') or ''}"[:_SHOWN]
        except (PassingError, RegistryError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return ""
        return "" if self._authorizer.hidden(text) else f" ({ascii(text)[1:-1].strip(': ')})"


def _retry_after(text: str) -> float:
    """Return the pause that a Retry-After header asks for, in seconds; 0 when it is none. Source: RFC 9110, 10.2.3."""
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
