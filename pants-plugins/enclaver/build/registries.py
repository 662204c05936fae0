"""The registries that images come from and go to: one session each, for as long as they are needed."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from types import TracebackType
from typing import Self

from enclaver.core.oci.reference import Reference
from enclaver.system.registry import Registry, login
from enclaver.system.registry_session import Session


class Registries:
    """Registries by the host in a reference; to be used in a ``with`` block.

    Args:
        insecure: hosts, with their ports, that may be spoken with by plain http.
    """

    def __init__(self, *, insecure: Collection[str] = ()) -> None:
        self._insecure = frozenset(insecure)
        self._sessions: dict[str, Session] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            session.close()

    def of(self, image: Reference) -> Registry:
        """Return the registry of an image."""
        host = image.registry
        if host not in self._sessions:
            self._sessions[host] = Session(host, credentials=partial(login, host), insecure=host in self._insecure)
        return Registry(self._sessions[host])
