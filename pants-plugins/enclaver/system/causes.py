"""Why a request failed: what lies below the errors that requests, urllib3 and docker's SDK wrap in each other.

Their own texts are not shown: they have whole URLs, whose queries may be secrets.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator

import requests
import urllib3


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it was made of, the outermost first."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [part for part in (*one.args, getattr(one, "reason", None)) if isinstance(part, BaseException)]
        waiting += [*inner, one.__cause__, one.__context__]


def system_error(error: BaseException) -> OSError | None:
    """Return the system's own error below one, None when there is none."""
    for one in causes(error):
        # requests' errors are OSErrors too, without a number.
        if isinstance(one, OSError) and one.errno in errno.errorcode:
            return one
    return None


def tls_reason(error: BaseException) -> str:
    """Return in a few words why TLS could not be spoken."""
    found = next((one for one in causes(error) if isinstance(one, ssl.SSLError)), None)
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({found.verify_message})"
    return str(getattr(found, "reason", None) or "its answer is none").replace("_", " ").lower()


def reason(error: BaseException, timeout: float) -> str:
    """Return in a few words why nobody answered; ``timeout`` is how many seconds were waited for it."""
    found = list(causes(error))
    if any(isinstance(one, requests.exceptions.Timeout | TimeoutError) for one in found):
        return f"no answer within {timeout:g} s"
    if any(isinstance(one, urllib3.exceptions.NameResolutionError) for one in found):
        return "its name is not known"
    system = system_error(error)
    return (system.strerror or "").lower() or "the connection broke" if system else "the connection broke"
