"""An image lent to the docker daemon while another program works with it, under a name that nobody else uses."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.system.daemon import Daemon, DaemonError

_NAME: Final = "enclaver-build"
# Whoever else has lent the same image may take it away between its loading and its naming.
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Loan:
    """A lent image.

    Args:
        name: ``enclaver-build-...:latest``.
        environment: by which another program finds the same daemon, whatever docker's contexts say.
    """

    name: str
    environment: Mapping[str, str]


@contextmanager
def lent(archive: Path) -> Iterator[Loan]:
    """Load an image's archive and name it; at the end, the name and what was made by it are gone.

    So is the image, unless it has other names too. A process that is killed leaves it behind.

    Raises:
        DaemonError: there is no daemon, or it does not take the image or give it back.
        EnclaverError: the archive can't be read.
    """
    repository = f"{_NAME}-{secrets.token_hex(8)}"
    name = f"{repository}:latest"
    with Daemon() as daemon:
        try:
            _load(daemon, archive, repository)
            yield Loan(name, {**os.environ, "DOCKER_HOST": daemon.host})
        except BaseException:
            # What went wrong first is what is to be told, also when the daemon is what went.
            with suppress(DaemonError):
                daemon.discard(name)
            raise
        daemon.discard(name)


def _load(daemon: Daemon, archive: Path, repository: str) -> None:
    for left in reversed(range(_TRIES)):
        image = daemon.load(archive)[0]
        try:
            daemon.tag(image, repository, "latest")
        except DaemonError:
            if not left:
                raise
        else:
            return
