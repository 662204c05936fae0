from __future__ import annotations

import errno
import ssl

import pytest
import requests
import urllib3

from enclaver.system.causes import causes, reason, system_error, tls_reason


def wrapped(inner: BaseException) -> Exception:
    """An error as requests wraps it: in its arguments, and in a `reason`."""
    pool = urllib3.HTTPConnectionPool("h")
    return requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/?secret", inner))  # type: ignore[arg-type]


def test_all_causes_once() -> None:
    low = OSError(errno.ECONNREFUSED, "Connection refused")
    high = ValueError("high", low)
    high.__cause__ = high.__context__ = low
    assert list(causes(high)) == [high, low]


def test_the_system_s_own_error_is_found() -> None:
    low = OSError(errno.ECONNREFUSED, "Connection refused")
    assert system_error(wrapped(low)) is low
    assert system_error(ValueError()) is None
    assert system_error(requests.exceptions.ConnectionError("x")) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (wrapped(OSError(errno.ECONNREFUSED, "Connection refused")), "connection refused"),
        (wrapped(TimeoutError()), "no answer within 5 s"),
        (requests.exceptions.ConnectTimeout(), "no answer within 5 s"),
        (wrapped(urllib3.exceptions.ProtocolError("Connection aborted.")), "the connection broke"),
        (ValueError("a URL with ?secret=1"), "the connection broke"),
    ],
)
def test_why_nobody_answered(error: BaseException, words: str) -> None:
    assert reason(error, 5.0) == words


def test_why_tls_was_not_spoken() -> None:
    broken = ssl.SSLError(1, "x")
    broken.reason = "WRONG_VERSION_NUMBER"
    assert tls_reason(wrapped(broken)) == "wrong version number"
    assert tls_reason(ValueError()) == "its answer is none"
