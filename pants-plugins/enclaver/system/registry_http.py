"""One HTTP exchange with a registry or with what it sends us to: bounded in size and time, never trusted.

Nothing is followed, retried or authorized here. Certificates are those of SSL_CERT_FILE, SSL_CERT_DIR,
REQUESTS_CA_BUNDLE or the system; proxies those of the environment, but for this machine.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies

from enclaver.core.errors import EnclaverError
from enclaver.system import causes
from enclaver.system.timely_adapter import TimelyAdapter

CHUNK: Final = 1 << 18
#: Seconds without a byte until somebody is taken for dead.
TIMEOUT: Final = 30.0
#: Seconds in which an answer may come as slowly as it likes, and the least bytes a second it must come with then.
GRACE: Final = 60.0
PACE: Final = 1 << 10


class RegistryError(EnclaverError):
    """What a registry refused or got wrong; ``status`` is HTTP's where the registry said it by one."""

    def __init__(self, what: str, *, cure: str | None = None, status: int | None = None) -> None:
        super().__init__(what, cure=cure)
        self.status = status


class PassingError(Exception):
    """A failure that another try may mend. ``pause``: seconds after which the server wants it."""

    def __init__(self, reason: str, *, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Body(Protocol):
    """What is sent: its length is in bytes, and it can be gone through again."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __len__(self) -> int: ...


def is_local(host: str) -> bool:
    """Whether a host, with a port or not, is this machine: what is sent there is on no wire."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return a URL's host with its port and without its user; '' for what is no URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def shown(url: str) -> str:
    """Return a URL for messages: without its query and its user, which may be secrets."""
    parts = urlsplit(url)
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "").geturl()[:300]


class Answer:
    """An answer whose body is yet to be read."""

    def __init__(self, response: requests.Response, *, grace: float) -> None:
        self._response = response
        self._grace = grace
        self.status = response.status_code
        self.url = response.url

    def header(self, name: str) -> str:
        """Return a header's value, '' when there is none."""
        return str(self._response.headers.get(name, ""))

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Yield the body.

        Args:
            limit: the most bytes it may have.

        Raises:
            PassingError: it ended too early.
            RegistryError: it has more bytes, or they come too slowly.
        """
        start = time.monotonic()
        taken = 0
        host = host_of(self.url)
        while chunk := self._next():
            taken += len(chunk)
            if taken > limit:
                raise RegistryError(f"{host} sends more than the {limit} bytes that were to come")
            yield chunk
            if time.monotonic() - start > self._grace + taken / PACE:
                raise RegistryError(
                    f"{host} sends less than {PACE} bytes a second", cure="Check the network, or ask another registry."
                )

    def body(self, limit: int) -> bytes:
        """Return the whole body; arguments and errors as of ``chunks``."""
        return b"".join(self.chunks(limit))

    def _next(self) -> bytes:
        try:
            # Whatever has come, at once: waiting for a whole chunk would hide how slowly it comes.
            return self._response.raw.read1(CHUNK, decode_content=False) or b""
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise PassingError("the connection broke") from error


class Http:
    """Exchanges over connections that are kept; safe for several threads.

    Args:
        insecure: hosts, with their ports, that plain http may be spoken with; with this machine's it always may.
        timeout: seconds to wait for a connection and for each next byte.
        grace: seconds in which an answer's head has to come, and its body may come slowly.
    """

    def __init__(self, *, insecure: Iterable[str] = (), timeout: float = TIMEOUT, grace: float = GRACE) -> None:
        self._insecure = frozenset(insecure)
        self._timeout = timeout
        self._grace = grace
        # Below requests' sessions, which look into ~/.netrc, keep cookies, and read what a redirect says without end.
        self._adapter = TimelyAdapter(grace)

    def may_be_plain(self, host: str) -> bool:
        """Whether plain http may be spoken with a host."""
        return host in self._insecure or is_local(host)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    @contextmanager
    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes | None = None
    ) -> Iterator[Answer]:
        """Send a request and yield the answer.

        Raises:
            PassingError: nobody answered, and somebody may soon.
            RegistryError: the URL is none that may be asked, or nobody can answer there.
        """
        host = self._host(url)
        certificates = _certificates() if url.startswith("https:") else True
        sent = {"User-Agent": "enclaver", "Accept-Encoding": "identity", **headers}
        try:
            response = self._adapter.send(
                requests.Request(method, url, headers=sent, data=body).prepare(),
                stream=True,
                timeout=self._timeout,
                verify=certificates,
                proxies={} if is_local(host) else get_environ_proxies(url),
            )
        except requests.exceptions.SSLError as error:
            raise RegistryError(
                f"{host} can't be spoken with by TLS: {causes.tls_reason(error)}",
                cure="Name the file of its certificate authority in SSL_CERT_FILE, or allow plain http.",
            ) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise PassingError(causes.reason(error, self._timeout)) from error
        with response:
            yield Answer(response, grace=self._grace)

    def _host(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host = parts.netloc
            # With a name and a password in it, requests would send those.
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
            fine = fine and parts.port != 0
        except ValueError:
            host, fine = "", False
        if not fine:
            # It may have secrets in it, and is not shown.
            raise RegistryError("a place that was to be asked is no URL of http or https, or has a user in it")
        if parts.scheme == "http" and not self.may_be_plain(host):
            raise RegistryError(
                f"{host} is to be asked by plain http, where anybody on the way reads and changes what passes",
                cure="Use https, or allow it for that registry (--insecure-registry).",
            )
        return host


def _certificates() -> str | bool:
    """Return the file or folder of certificates that the environment or the system has; True for requests' own."""
    chosen = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if chosen and not os.path.exists(chosen):
        raise RegistryError(
            f"there are no certificates at {chosen}", cure="Mend REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, or unset it."
        )
    paths = ssl.get_default_verify_paths()
    return chosen or paths.cafile or paths.capath or True
