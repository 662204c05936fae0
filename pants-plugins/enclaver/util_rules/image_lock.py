"""``enclave.images.lock``: which container image a reference means, beside the BUILD file that uses it."""

from __future__ import annotations

from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, FileEntry, PathGlobs

from enclaver.engine import create_digest, digest_entries, globbed_files
from enclaver.util_rules import stages


@dataclass(frozen=True)
class ImageLock:
    """A lock as ``enclave.images.lock`` in a digest, and where it lies in the repository."""

    digest: Digest
    path: str


def lock_path(owner: Address) -> str:
    """Return where the lock of a target lies."""
    return f"{owner.spec_path}/{stages.IMAGES_LOCK}".lstrip("/")


async def image_lock(owner: Address) -> ImageLock | None:
    """Return the lock of a target; None when there is none."""
    path = lock_path(owner)
    found = await globbed_files(PathGlobs([path]))
    entries = [entry for entry in await digest_entries(found) if isinstance(entry, FileEntry)]
    if not entries:
        return None
    lock = await create_digest(CreateDigest([FileEntry(stages.IMAGES_LOCK, entries[0].file_digest)]))
    return ImageLock(lock, path)
