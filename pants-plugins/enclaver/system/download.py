"""One transfer of one URL: http, https or a file; bounded, resumable, and never trusted.

urllib honours http_proxy, https_proxy, no_proxy, SSL_CERT_FILE and SSL_CERT_DIR, as users expect of it.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, Protocol

CHUNK: Final = 1 << 18
#: Seconds before a transfer that may yet succeed is tried again: a mirror that is busy, or a network that is changing,
#: is mostly back within them.
PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-[0-9]+/(?:[0-9]+|\*)")


class TransferError(Exception):
    """A transfer that did not give what was asked for; ``str()`` is the reason in a few words.

    With ``again`` true the same place is worth another try: it refused the connection or its name was not found,
    which passes when a network is busy, or the connection broke or stalled after it had answered. What had come by
    then was written.
    """

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


class _Body(Protocol):
    def read(self, size: int, /) -> bytes: ...


@cache
def _tls() -> ssl.SSLContext:
    # Reading the machine's certificates takes longer than a small package.
    return ssl.create_default_context()


def _opener() -> urllib.request.OpenerDirector:
    # Only what is named here: the default opener would also follow ftp:// and data: redirects.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_tls()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "enclaver"), ("Accept-Encoding", "identity")]
    return opener


def fetch(
    url: str,
    out: BinaryIO,
    *,
    have: int,
    size: int | None,
    limit: int,
    timeout: float,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Append what ``url`` serves to ``out``, which already holds its first ``have`` bytes.

    A server that cannot resume makes ``out`` start again from nothing. ``size`` is the whole length in bytes
    when known: fewer bytes are an error, more are not read. No more than ``limit`` bytes are ever taken.
    ``timeout`` in seconds bounds the connect and every wait for bytes; once ``stop`` says so, no more are taken.
    Raises TransferError.
    """
    if url.startswith("file:"):
        _copy(Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)), out, have, size, limit, stop)
        return
    request = urllib.request.Request(url)  # noqa: S310 - the opener below knows http and https only.
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with _opener().open(request, timeout=timeout) as response:
            if have and response.status == http.client.PARTIAL_CONTENT:
                match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if match is None or int(match[1]) != have:
                    raise TransferError("it answered with another part of the file than asked for")
            elif have:
                _restart(out)
                have = 0
            _take(response, out, have, size, limit, stop)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            # What is there already is not the beginning of this file; the next try begins anew.
            _restart(out)
            raise TransferError("it has no more bytes than were there", again=True) from error
        busy = error.code == http.client.TOO_MANY_REQUESTS or error.code >= http.client.INTERNAL_SERVER_ERROR
        raise TransferError(f"HTTP {error.code} {error.reason}", again=busy) from error
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            raise TransferError(f"no connection within {timeout:g} s") from error
        # A certificate that is refused now is refused in a second too.
        passing = isinstance(reason, OSError) and not isinstance(reason, ssl.SSLCertVerificationError)
        raise TransferError(str(getattr(reason, "strerror", None) or reason), again=passing) from error
    except TimeoutError as error:
        raise TransferError(f"it stalled for {timeout:g} s", again=True) from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise TransferError(str(error) or type(error).__name__, again=True) from error


def read(url: str, *, size: int | None = None, limit: int, timeout: float) -> bytes:
    """All that ``url`` serves, in memory; for indexes, which are small. Arguments and errors as of ``fetch``."""
    out = BytesIO()

    def transfer() -> None:
        _restart(out)
        fetch(url, out, have=0, size=size, limit=limit, timeout=timeout)

    persist(transfer)
    return out.getvalue()


def persist(
    transfer: Callable[[], None], *, pauses: Sequence[float] = PAUSES, wait: Callable[[float], bool] = _sleep
) -> None:
    """Do ``transfer`` until it succeeds, fails for good, or has failed once more often than there are pauses.

    ``wait`` spends a pause of so many seconds; true ends it all. Raises TransferError, the last one.
    """
    for pause in pauses:
        try:
            return transfer()
        except TransferError as error:
            if not error.again or wait(pause):
                raise
    return transfer()


def _restart(out: BinaryIO) -> None:
    out.seek(0)
    out.truncate()


def _copy(path: Path, out: BinaryIO, have: int, size: int | None, limit: int, stop: Callable[[], bool]) -> None:
    try:
        with path.open("rb") as source:
            source.seek(have)
            _take(source, out, have, size, limit, stop)
    except OSError as error:
        raise TransferError(str(error.strerror or error)) from error


def _take(source: _Body, out: BinaryIO, have: int, size: int | None, limit: int, stop: Callable[[], bool]) -> None:
    # One byte more than wanted is asked for, to tell a longer file from one that fits.
    bound = limit if size is None else min(size, limit)
    while have <= bound:
        chunk = source.read(min(CHUNK, bound + 1 - have))
        if not chunk:
            break
        out.write(chunk[: bound - have])
        have += len(chunk)
        if stop():
            raise TransferError("it was stopped")
    if have > bound:
        raise TransferError(f"it serves more than {bound} bytes")
    if size is not None and have < size:
        raise TransferError(f"it ended after {have} of {size} bytes", again=True)
