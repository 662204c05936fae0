"""An image of a registry as files of a layout, each of which comes when it is looked for, and stays in a cache."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci import documents, layout, limits, media_types
from enclaver.core.oci.descriptor import Descriptor
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.manifest import Manifest
from enclaver.core.oci.reference import Reference
from enclaver.core.rootfs import spool
from enclaver.core.rootfs.entry import Content, FileContent
from enclaver.core.rootfs.regular import whole
from enclaver.system.blob_cache import BlobCache
from enclaver.system.partial import Incoming
from enclaver.system.registry import Registry
from enclaver.system.registry_http import RegistryError

#: What this project can read, the newest forms first.
ACCEPT: Final = (*media_types.INDEXES, *media_types.MANIFESTS)
_THREADS: Final = 3
_NOT_FOUND: Final = 404


class RegistryImage:
    """An image, by the digest of its manifest or of an index. Its documents are files, as ``layout`` wants them.

    Args:
        registry: where it is.
        image: its reference, of which the name counts.
        cache: where its parts stay; those that are there are not asked for.
    """

    def __init__(self, registry: Registry, image: Reference, cache: Path) -> None:
        self._registry = registry
        self._repository = image.repository
        self._cache = BlobCache(cache)
        # Registries keep manifests apart from blobs, and a digest does not say which it is of: what names it does.
        self._configs: set[str] = set()

    def find(self, name: str) -> FileContent | None:
        """Return a document by its name in a layout, None when nobody has it. Raises EnclaverError."""
        _, algorithm, value = name.split("/")
        wanted = str(digests.parse(f"{algorithm}:{value}"))
        bring = self._bring_blob if wanted in self._configs else self._bring_manifest
        try:
            content = whole(self._cache.get(wanted, limits.DOCUMENT, bring))
        except RegistryError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        if wanted not in self._configs:
            self._configs |= _config_of(content)
        return content

    def choose(self, digest: Digest, architecture: str) -> tuple[Descriptor, Manifest]:
        """Return an architecture's manifest: the one of a digest, or of those in an index.

        Raises:
            EnclaverError: there is none, or it can't be had.
        """
        content = self.find(f"blobs/{digest.algorithm}/{digest.hex}")
        if content is None:
            raise RegistryError(
                f"the registry {self._registry.host} has no {digest} in {self._repository}", status=_NOT_FOUND
            )
        top = Descriptor(_media_type(documents.parse(documents.load(content))), digest, content.size)
        chosen = layout.choose_among(self, [top], architecture=architecture)
        return chosen, layout.manifest_of(self, chosen)

    def blobs(self, manifest: Manifest) -> dict[Digest, Content]:
        """Return all that a manifest names, whole and checked.

        Raises:
            EnclaverError: a part is of a kind that no enclave can use, there is too much of it, or it can't be had.
        """
        for number, layer in enumerate(manifest.layers, start=1):
            try:
                media_types.layer_compression(layer.media_type)
            except EnclaverError as error:
                error.place = f"layer {number} of {len(manifest.layers)}"
                raise
        if sum(part.size for part in manifest.parts) > spool.LIMIT:
            raise EnclaverError(f"the image's parts are more than {spool.LIMIT >> 20} MiB in all")
        stop = Event()
        with ThreadPoolExecutor(_THREADS) as pool:
            waiting = {part.digest: pool.submit(self._blob, part, stop) for part in manifest.parts}
            try:
                finished, _ = wait(waiting.values(), return_when=FIRST_EXCEPTION)
                return {digest: one.result() for digest, one in waiting.items() if one in finished}
            finally:
                # On an error or an interrupt the others end at their next chunk, and keep what they have.
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _blob(self, part: Descriptor, stop: Event) -> Content:
        def bring(incoming: Incoming) -> None:
            self._registry.blob(self._repository, incoming.digest, incoming, stop=stop)

        content = whole(self._cache.get(str(part.digest), part.size, bring))
        if content.size != part.size:
            raise EnclaverError(f"is {content.size} bytes, and the image says {part.size}", place=str(part.digest))
        return content

    def _bring_blob(self, incoming: Incoming) -> None:
        self._registry.blob(self._repository, incoming.digest, incoming)

    def _bring_manifest(self, incoming: Incoming) -> None:
        found = self._registry.manifest(self._repository, incoming.digest, accept=ACCEPT)
        incoming.restart()
        incoming.append(found.data)


def _config_of(content: FileContent) -> set[str]:
    """Return the digest of the configuration that a document names, if it is a manifest that names one."""
    found = documents.as_object(documents.parse(documents.load(content)), "manifest")
    digest = documents.child(found, "config").get("digest")
    return {digest} if isinstance(digest, str) else set()


def _media_type(document: object) -> str:
    """Return what a document says it is, or what it looks like: in OCI's forms it need not say it."""
    found = documents.as_object(document, "manifest")
    index = "manifests" in found
    return documents.text(found, "mediaType", media_types.INDEXES[0] if index else media_types.MANIFESTS[0])
