"""``enclave.images.lock``: which image a reference means. It names no time, and no host but those of references.

The file is JSON (``{"version": 1, "images": {REFERENCE: {ARCHITECTURE: {"digest", "image_id"}}}}``), written
canonically: keys sorted, two spaces of indent, ASCII, one trailing newline. Reading is strict, since the file decides
what is measured: unknown keys, wrong types, references that are not written out and keys out of order are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci import platform, reference
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.reference import Reference
from enclaver.core.strict_json import Reader, canonical_json

LOCK_VERSION: Final = 1
#: Its name, beside the BUILD file or the manifest that names the images.
NAME: Final = "enclave.images.lock"
#: Far more than a lock of a thousand images has.
MAX_BYTES: Final = 4 << 20

_IMAGE_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST: Final = re.compile(rf"{_IMAGE_ID.pattern}|sha512:[0-9a-f]{{128}}")
_MEANING: Final = "`sha256:` and 64 lower-case hex digits"
_CURE: Final = "Make the lock again with `enclaver lock images`; it is not meant to be edited by hand."
_MAKE: Final = "Pin it: `enclaver lock images`, or under Pants `./pants enclave-lock`."


@dataclass(frozen=True, slots=True)
class LockedImage:
    """What a reference means on one architecture.

    Args:
        digest: of the manifest, or of an index that has it, in the reference's registry. None when the image is only
            in a daemon.
        image_id: the sha256 of its configuration. It pins the digests of the uncompressed layers, so the tree, however
            the image comes; docker calls it the image's id.
    """

    digest: Digest | None
    image_id: Digest


@dataclass(frozen=True, slots=True)
class ImageLock:
    """What references mean: by the written-out reference, then by architecture (``x86_64``, ``aarch64``)."""

    images: Mapping[str, Mapping[str, LockedImage]] = field(default_factory=dict)

    def find(self, image: Reference, architecture: str) -> LockedImage | None:
        """Return what a reference means; None where the lock does not say."""
        return self.images.get(str(image), {}).get(architecture)

    def get(self, image: Reference, architecture: str, *, file: str) -> LockedImage:
        """Return what a reference means; ``file`` is the lock's name. Raises EnclaverError where it does not say."""
        found = self.find(image, architecture)
        if found is None:
            others = ", ".join(sorted(self.images.get(str(image), {})))
            what = f"pins {image.familiar} for {others}, not for" if others else f"does not pin {image.familiar} for"
            raise EnclaverError(f"the lock {what} {architecture}", file=file, cure=_MAKE)
        return found

    def updated(self, found: Mapping[Reference, Mapping[str, LockedImage]]) -> ImageLock:
        """Return the lock with other meanings; what they don't speak of stays."""
        images = dict(self.images)
        for image, meanings in found.items():
            images[str(image)] = {**images.get(str(image), {}), **meanings}
        return ImageLock(images)


def parse(text: bytes, file: str) -> ImageLock:
    """Return the lock in a text; ``file`` is its name as the user gave it. Raises EnclaverError."""
    read = Reader(file, _CURE)
    document = read.object(read.document(text), None, ("version", "images"))
    if document["version"] != LOCK_VERSION or isinstance(document["version"], bool):
        read.fail("version", f"only version {LOCK_VERSION} of the lock format is known")
    images = {}
    for name, meanings in read.mapping(document["images"], "images").items():
        place = f"images[{name!a}]"
        _check_reference(read, name, place)
        images[name] = {
            read.choice(architecture, f"{place}: architecture", tuple(platform.ARCHITECTURES)): _meaning(
                read, value, f"{place}.{architecture}"
            )
            for architecture, value in read.mapping(meanings, place).items()
        }
        if not images[name]:
            read.fail(place, "nothing is pinned")
    return ImageLock(images)


def load(path: Path) -> ImageLock:
    """Return the lock in a file. Raises EnclaverError, also when the file cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EnclaverError(f"the lock cannot be read: {error.strerror}", file=str(path), cure=_MAKE) from error
    if len(text) > MAX_BYTES:
        raise EnclaverError(f"has more than {MAX_BYTES} bytes; no such lock does", file=str(path), cure=_CURE)
    return parse(text, str(path))


def render(lock: ImageLock) -> bytes:
    """Return the canonical bytes of a lock; ``parse`` of them gives an equal lock."""
    images = {
        name: {
            architecture: {"digest": None if one.digest is None else str(one.digest), "image_id": str(one.image_id)}
            for architecture, one in meanings.items()
        }
        for name, meanings in lock.images.items()
    }
    return canonical_json({"version": LOCK_VERSION, "images": images})


def _check_reference(read: Reader, name: str, place: str) -> None:
    try:
        written_out = str(reference.parse(name))
    except EnclaverError as error:
        read.fail(place, error.what)
    if written_out != name:
        read.fail(place, f"the reference is not written out; it is {written_out}")


def _meaning(read: Reader, value: Any, place: str) -> LockedImage:
    fields = read.object(value, place, ("digest", "image_id"))
    digest = fields["digest"]
    if digest is not None:
        digest = digests.parse(read.text(digest, f"{place}.digest", _DIGEST, _MEANING))
    return LockedImage(digest, digests.parse(read.text(fields["image_id"], f"{place}.image_id", _IMAGE_ID, _MEANING)))
