"""A client for image registries: what a name stands for, manifests, blobs; and bringing both there.

Source: OCI distribution-spec 1.1. Everything that comes is held against its digest, and bounded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event
from typing import Final
from urllib.parse import urlencode

from enclaver.system import docker_config, ecr
from enclaver.system.docker_config import Credentials
from enclaver.system.partial import Incoming
from enclaver.system.registry_auth import Scope
from enclaver.system.registry_http import Answer, Body, PassingError, RegistryError
from enclaver.system.registry_session import Session

#: What a manifest or an index may have, in bytes: as much as registries take.
LONGEST_MANIFEST: Final = 4 << 20
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_DIGEST_HEADER: Final = "Docker-Content-Digest"
_NO_HEAD: Final = (405, 501)
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-[0-9]+/(?:[0-9]+|\*)")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, as the registry has it: ``digest`` is that of ``data``."""

    digest: str
    media_type: str
    data: bytes


def login(host: str) -> Credentials | None:
    """Return who asks a registry: docker's configuration knows, or AWS for its own registries. Raises EnclaverError."""
    return docker_config.credentials(host) or ecr.credentials(host)


class Registry:
    """A registry, by the session with it; safe for several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.host = session.host

    def resolve(self, repository: str, tag: str, *, accept: Sequence[str]) -> str:
        """Return the digest of what a tag stands for now.

        Args:
            accept: the media types that are understood.

        Raises:
            RegistryError: there is none (``status`` 404), or it can't be asked for.
        """

        def ask() -> str:
            headers = {"Accept": ", ".join(accept)}
            scope = Scope(repository)
            with self._session.open(
                "HEAD", _manifest(repository, tag), scope, headers=headers, accept=(200, *_NO_HEAD)
            ) as answer:
                return answer.header(_DIGEST_HEADER) if answer.status == HTTPStatus.OK else ""

        found = self._session.persist(ask)
        # Not every registry says it here; what is got says it itself.
        return found if _DIGEST.fullmatch(found) else self.manifest(repository, tag, accept=accept).digest

    def manifest(self, repository: str, reference: str, *, accept: Sequence[str]) -> Manifest:
        """Return a manifest or an index.

        Args:
            reference: a digest, or a tag.
            accept: the media types that are understood.

        Raises:
            RegistryError: there is none (``status`` 404), it is of another digest or type, or it can't be had.
        """

        def get() -> Manifest:
            headers = {"Accept": ", ".join(accept)}
            with self._session.open(
                "GET", _manifest(repository, reference), Scope(repository), headers=headers
            ) as answer:
                media_type = answer.header("Content-Type").partition(";")[0].strip()
                if media_type not in accept:
                    raise RegistryError(
                        f"the registry {self.host} answers with {media_type[:100]!a}, which is no image's manifest",
                        cure="It may be no registry, or the image may be of a form that is too old.",
                    )
                data = answer.body(LONGEST_MANIFEST)
                claimed = answer.header(_DIGEST_HEADER)
            wanted = reference if _DIGEST.fullmatch(reference) else claimed
            digest = _digest(data, wanted if _DIGEST.fullmatch(wanted) else "sha256:")
            if _DIGEST.fullmatch(wanted) and digest != wanted:
                raise self._wrong(f"the manifest {reference}", digest, wanted)
            return Manifest(digest, media_type, data)

        return self._session.persist(get)

    def blob(self, repository: str, digest: str, incoming: Incoming, *, stop: Event | None = None) -> None:
        """Bring a file to be a blob.

        Args:
            incoming: what there is of it, which is gone on with. On an error it has what came, or nothing of what was
                wrong.
            stop: once it is set, no more is taken.

        Raises:
            RegistryError: there is none (``status`` 404), it is of another digest or too big, or it can't be had.
        """

        def end_if_stopped() -> None:
            if stop is not None and stop.is_set():
                raise RegistryError("it was stopped")

        def get() -> None:
            end_if_stopped()
            if incoming.size and incoming.is_whole:
                return
            path, had = f"{repository}/blobs/{digest}", incoming.size
            asked = {"Range": f"bytes={had}-"} if had else {}
            with self._session.open("GET", path, Scope(repository), headers=asked, accept=(200, 206, 416)) as answer:
                if not _goes_on(answer, had):
                    incoming.restart()
                    if answer.status != HTTPStatus.OK:
                        raise PassingError("it has no more of a blob than was there")
                for chunk in answer.chunks(incoming.room):
                    incoming.append(chunk)
                    end_if_stopped()
            if incoming.is_whole:
                return
            found, resumed = incoming.found, answer.status == HTTPStatus.PARTIAL_CONTENT
            incoming.restart()
            if resumed:
                # The beginning may have been wrong, and this registry have no part in it.
                raise PassingError("what was there of a blob was not its beginning")
            raise self._wrong("a blob", found, digest)

        self._session.persist(get, stop)

    def push_blob(self, repository: str, digest: str, body: Body | bytes) -> bool:
        """Bring a blob to a repository, unless it is there; returns whether it was sent.

        Args:
            body: its bytes; they are gone through again when a try fails.

        Raises:
            RegistryError: the registry does not take it.
        """
        scope = Scope(repository, push=True)

        def push() -> bool:
            with self._session.open("HEAD", f"{repository}/blobs/{digest}", scope, accept=(200, 404)) as answer:
                if answer.status == HTTPStatus.OK:
                    return False
            with self._session.open("POST", f"{repository}/blobs/uploads/", scope, body=b"", accept=(202,)) as answer:
                place = self._session.located(answer, answer.header("Location"))
            url = f"{place}{'&' if '?' in place else '?'}{urlencode({'digest': digest})}"
            headers = {"Content-Type": "application/octet-stream"}
            with self._session.open(
                "PUT", url, scope, headers=headers, body=body if len(body) else b"", accept=(201, 204)
            ) as answer:
                self._check_taken(answer, digest)
            return True

        return self._session.persist(push)

    def push_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        """Bring a manifest or an index to a repository, under a tag or its digest; returns its digest.

        Raises:
            RegistryError: the registry does not take it, which it does not while it lacks a part of it.
        """
        digest = _digest(data, "sha256:")

        def push() -> str:
            path, headers = _manifest(repository, reference), {"Content-Type": media_type}
            scope = Scope(repository, push=True)
            with self._session.open("PUT", path, scope, headers=headers, body=data, accept=(201,)) as answer:
                self._check_taken(answer, digest)
            return digest

        return self._session.persist(push)

    def _check_taken(self, answer: Answer, digest: str) -> None:
        """Refuse a registry that says it got something else. Not every one says it."""
        said = answer.header(_DIGEST_HEADER)
        if said and said != digest:
            raise self._wrong("what was pushed", said[:200], digest)

    def _wrong(self, what: str, found: str, expected: str) -> RegistryError:
        return RegistryError(
            f"the registry {self.host} has something else: the digest of {what} is {ascii(found)[1:-1]}, "
            f"not {expected}",
            cure="The registry, or what is between it and this machine, is damaged or dishonest.",
        )


def _manifest(repository: str, reference: str) -> str:
    return f"{repository}/manifests/{reference}"


def _digest(data: bytes, like: str) -> str:
    """Return the digest of bytes, of the same algorithm as another."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def _goes_on(answer: Answer, have: int) -> bool:
    """Whether an answer goes on where a file ends."""
    match = _CONTENT_RANGE.fullmatch(answer.header("Content-Range"))
    return answer.status == HTTPStatus.PARTIAL_CONTENT and match is not None and int(match[1]) == have
