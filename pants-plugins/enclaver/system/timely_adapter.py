"""requests' adapter, but that the head of an answer comes in time as a whole, and not only each next byte of it."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

_LATE: Final = "the head of an answer took too long"


class _Timely(HTTPConnection):
    """A connection that is hung up on when an answer's head takes too long; ``seconds`` is set by its pool."""

    seconds: float

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # As urllib3's own.
        """Return the answer. Raises TimeoutError when its head does not come in time."""
        late = threading.Event()
        timer = threading.Timer(self.seconds, _hang_up, [self.sock, late])
        timer.daemon = True
        timer.start()
        try:
            found = super().getresponse()
        except Exception as error:
            if late.is_set():
                raise TimeoutError(_LATE) from error
            raise
        finally:
            timer.cancel()
        if late.is_set():
            # A head that ends because the connection does is taken for a whole one.
            found.close()
            raise TimeoutError(_LATE)
        return found


class _TimelyTls(_Timely, HTTPSConnection):
    """The same by TLS."""


def _hang_up(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    try:
        # TLS sockets have one of their own, which is not made to be called by another thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # It is closed already.


class TimelyAdapter(HTTPAdapter):
    """The adapter.

    Args:
        seconds: in which the head of an answer has to come, from the moment when all is sent.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **kwargs)
        self._make_timely(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """Return the pools of connections to a proxy."""
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        self._make_timely(manager)
        return manager

    def _make_timely(self, manager: PoolManager) -> None:
        seconds = self._seconds

        class Plain(HTTPConnectionPool):
            ConnectionCls = type("Timely", (_Timely,), {"seconds": seconds})

        class Tls(HTTPSConnectionPool):
            ConnectionCls = type("TimelyTls", (_TimelyTls,), {"seconds": seconds})

        manager.pool_classes_by_scheme = {"http": Plain, "https": Tls}
