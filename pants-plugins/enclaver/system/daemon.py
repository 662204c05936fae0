"""Images of a docker daemon, by docker's own SDK: found, saved, loaded and named.

It is the daemon that ``docker`` itself would speak with: that of DOCKER_HOST (with DOCKER_TLS_VERIFY and
DOCKER_CERT_PATH), else of the context that DOCKER_CONTEXT or docker's configuration names.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import docker
import urllib3
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import APIError, DockerException, ImageNotFound, StreamParseError
from docker.utils import parse_host
from docker.utils.config import find_config_file

from enclaver.core.errors import EnclaverError
from enclaver.system.atomic import atomic_output
from enclaver.system.causes import system_error

#: Seconds to wait for an answer; and where a daemon first does all the work, and then answers.
TIMEOUT: Final = 60
PATIENCE: Final = 3600
_CHUNK: Final = 1 << 20
_LOADED: Final = re.compile(r"Loaded image(?: ID)?: (\S+)")
_SHOWN: Final = 300
_DEFAULT_CONTEXT: Final = "default"
_UNIX: Final = "http+unix://"


class DaemonError(EnclaverError):
    """A daemon that is not there, or that refuses."""


@dataclass(frozen=True, slots=True)
class DaemonImage:
    """An image that a daemon has.

    Args:
        id: what the daemon calls it.
        id_is_config: the id is the sha256 of its configuration, as it is but in containerd's image store.
        repo_digests: ``NAME@sha256:...``, under which registries are known to have it.
        os, architecture, variant: in Go's words.
    """

    id: str
    id_is_config: bool
    repo_digests: tuple[str, ...]
    os: str
    architecture: str
    variant: str


class Daemon:
    """A daemon, connected to; to be used in a ``with`` block.

    Raises:
        DaemonError: there is none, or this user may not speak with it.
    """

    def __init__(self) -> None:
        self._host = _host()
        with _explained(self._host):
            _knock(self._host)
            self._client = docker.from_env(timeout=TIMEOUT)
        # Its annotations are partial.
        self._api: Any = self._client.api

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def find(self, name: str) -> DaemonImage | None:
        """Return an image by a reference or an id; None when the daemon has none. Raises DaemonError."""
        with _explained(self._host):
            try:
                found: Mapping[str, Any] = self._api.inspect_image(name)
            except ImageNotFound:
                return None
        try:
            return DaemonImage(
                str(found["Id"]),
                # Daemons that keep images as registries do say what the id is the digest of.
                not found.get("Descriptor"),
                tuple(map(str, found.get("RepoDigests") or ())),
                *(str(found.get(key) or "") for key in ("Os", "Architecture", "Variant")),
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise DaemonError(f"the docker daemon at {self._host} answers with something that is no image") from error

    def save(self, image: str, path: Path, *, limit: int) -> None:
        """Write an image as a file, whole or not at all.

        Args:
            image: an id or a reference.
            limit: the most bytes that the file may have.

        Raises:
            DaemonError: the daemon has no such image, or fails.
            EnclaverError: it is too big, or the file can't be written.
        """
        size = 0
        with atomic_output(path) as out:
            for chunk in self._saved(image):
                size += len(chunk)
                if size > limit:
                    raise EnclaverError(
                        f"the docker daemon's image {image} is more than {limit >> 20} MiB",
                        cure="Leave out what the enclave does not need, or let the app fetch it when it runs.",
                    )
                out.write(chunk)

    def load(self, path: Path) -> tuple[str, ...]:
        """Load an image's archive; returns the names it has then, or its id when it has none.

        Raises:
            DaemonError: the daemon does not take it.
            EnclaverError: the file can't be read.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise EnclaverError(f"cannot read: {error.strerror}", file=str(path)) from error
        with file, _explained(self._host), self._patiently():
            lines = [line for line in self._api.load_image(file) if isinstance(line, dict)]
        told = "".join(str(line.get("stream", "")) for line in lines)
        refused = [str(line["error"]) for line in lines if line.get("error")]
        found = tuple(_LOADED.findall(told))
        if refused or not found:
            reason = ascii("; ".join(refused) or "it says nothing of an image")[1:-1][:_SHOWN]
            raise DaemonError(f"the docker daemon at {self._host} does not load {path}: {reason}")
        return found

    def tag(self, image: str, name: str, tag: str) -> None:
        """Give an image another name. Raises DaemonError."""
        with _explained(self._host):
            self._api.tag(image, name, tag)

    def discard(self, name: str) -> None:
        """Take a name away, with the containers that were made by it, and the image when that was its last name.

        Containers that were made by another name of the same image are others' and stay. Nothing happens where there is
        no such name. Raises DaemonError.
        """
        with _explained(self._host), suppress(ImageNotFound):
            for container in self._api.containers(all=True, filters={"ancestor": name}):
                # Whoever made it may have written the name out: docker.io/library/NAME.
                if str(container["Image"]).rpartition("/")[2] == name.rpartition("/")[2]:
                    self._api.remove_container(container["Id"], force=True)
            self._api.remove_image(name)

    @property
    def host(self) -> str:
        """The daemon's address, as DOCKER_HOST has it."""
        return self._host

    def _saved(self, image: str) -> Iterator[bytes]:
        with _explained(self._host), self._patiently():
            yield from self._api.get_image(image, chunk_size=_CHUNK)

    @contextmanager
    def _patiently(self) -> Iterator[None]:
        self._api.timeout = PATIENCE
        try:
            yield
        finally:
            self._api.timeout = TIMEOUT


def _host() -> str:
    """Return where the daemon is, for messages. Raises DaemonError when the context that is chosen is none."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name != _DEFAULT_CONTEXT and find_config_file() is None:
        # Beside which the SDK looks for contexts; without one it would look in the working folder.
        raise DaemonError(
            f"docker's context {name!a} can't be looked up without a config.json",
            cure="Make one that says {} (in ~/.docker, or DOCKER_CONFIG), or set DOCKER_HOST.",
        )
    try:
        context = ContextAPI.get_context(name)
        found = context.Host if context else None
    except Exception as error:  # The SDK raises this very class for a file that is damaged.
        raise DaemonError(
            f"docker's context {name!a} can't be read", cure="Make it anew (docker context create), or set DOCKER_HOST."
        ) from error
    if not found:
        # The SDK would speak with the default daemon instead, which has other images.
        raise DaemonError(
            f"docker has no context {name!a}", cure="See `docker context ls`; DOCKER_CONTEXT or DOCKER_HOST choose one."
        )
    return str(found)


def _knock(host: str) -> None:
    """See that somebody listens where a daemon's socket is. The SDK, when nobody does, loses the one that it tried."""
    place = str(parse_host(host))
    if place.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as attempt:
            attempt.settimeout(TIMEOUT)
            attempt.connect("/" + place.removeprefix(_UNIX).lstrip("/"))


@contextmanager
def _explained(host: str) -> Iterator[None]:
    """Turn whatever the SDK raises into one error that says what to do."""
    try:
        yield
    except APIError as error:
        told = ascii(str(error.explanation or error))[1:-1]
        raise DaemonError(f"the docker daemon at {host} refuses: {told[:_SHOWN]}") from error
    except (DockerException, StreamParseError, urllib3.exceptions.HTTPError, OSError) as error:
        reason, cure = _reason(error)
        raise DaemonError(f"there is no docker daemon at {host}: {reason}", cure=cure) from error


def _reason(error: BaseException) -> tuple[str, str]:
    """Return why a daemon could not be spoken with, and the cure."""
    system = system_error(error)
    if system is not None and system.errno in (errno.EACCES, errno.EPERM):
        return (
            "this user may not speak with it",
            "Join the group `docker` (and log in again), or use a rootless daemon.",
        )
    if system is not None and system.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return (system.strerror or "").lower(), "Start it, or name another one in DOCKER_HOST or DOCKER_CONTEXT."
    if isinstance(error, DockerException) and system is None:
        return ascii(str(error))[1:-1][:_SHOWN], "Check DOCKER_HOST, DOCKER_CERT_PATH and the context."
    return (system.strerror or "").lower() if system else "it does not answer", "Check that it runs and answers."
