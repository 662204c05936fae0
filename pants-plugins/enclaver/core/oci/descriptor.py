"""How one part of an image refers to another: by type, size and digest. Source: OCI image-spec, descriptor.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, documents, platform
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.documents import Object
from enclaver.core.oci.files import Files
from enclaver.core.oci.platform import Platform
from enclaver.core.rootfs.entry import FileContent

# The names under which an image was saved: the spec's own, and containerd's, which docker writes too.
_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
# What buildx adds beside an image: how it was built. It is no image, and says so.
_ATTESTATION: Final = ("vnd.docker.reference.type", "attestation-manifest")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A part of an image, as another part names it.

    Args:
        platform: of an image in an index, where the index says.
        names: of an image, where the index says.
        attestation: it is about an image and none itself.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    names: tuple[str, ...] = ()
    attestation: bool = False

    def blob(self, files: Files) -> FileContent:
        """Return its content, of which only the size is checked yet.

        Raises:
            EnclaverError: it is not there, or of another size.
        """
        place = str(self.digest)
        found = files.find(f"blobs/{self.digest.algorithm}/{self.digest.hex}")
        if found is None:
            raise EnclaverError("the image lacks this part", place=place, cure="Save or pull the image again, whole.")
        if found.size != self.size:
            raise EnclaverError(
                f"is {found.size} bytes, and the image says {self.size}", place=place, cure="Save or pull it again."
            )
        return found

    def document(self, files: Files) -> Any:
        """Return its content as JSON, checked by its digest. Raises EnclaverError."""
        place = str(self.digest)
        try:
            data = documents.load(self.blob(files))
            hasher = self.digest.hasher()
            hasher.update(data)
            digest.check(self.digest, hasher.hexdigest(), "this document")
            return documents.parse(data)
        except EnclaverError as error:
            error.place = error.place or place
            raise


def parse(value: Object) -> Descriptor:
    """Parse a descriptor. Raises EnclaverError."""
    annotations = documents.child(value, "annotations")
    key, kind = _ATTESTATION
    return Descriptor(
        documents.text(value, "mediaType", ""),
        digest.parse(documents.text(value, "digest")),
        documents.size(value, "size"),
        platform.parse(documents.child(value, "platform")) if value.get("platform") is not None else None,
        tuple(documents.text(annotations, name) for name in _NAMES if name in annotations),
        annotations.get(key) == kind,
    )
