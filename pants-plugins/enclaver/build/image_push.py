"""Bringing an image's archive to registries, as it is: its digest there is the one that it has here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from enclaver.build.registries import Registries
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci import layout
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.files import opened
from enclaver.core.oci.reference import Reference
from enclaver.core.rootfs.entry import FileContent


@dataclass(frozen=True, slots=True)
class _Body:
    """A content as a request's body, which may be sent more than once."""

    content: FileContent

    def __len__(self) -> int:
        return self.content.size

    def __iter__(self) -> Iterator[bytes]:
        return map(bytes, self.content.chunks())


def push(
    archive: Path, names: Sequence[Reference], *, registries: Registries, progress: Callable[[str], None]
) -> Digest:
    """Push an image under names; return the digest of its manifest.

    Nothing is sent that a registry has already, so that a push that broke is simply done again.

    Args:
        archive: an OCI archive with one image.
        names: references with a tag, in any registries.
        registries: where they lead.
        progress: told a line a name.

    Raises:
        EnclaverError: the archive is none, is damaged, a name has no tag, or a registry does not take it.
    """
    for name in names:
        if name.tag is None or name.digest is not None:
            raise EnclaverError(
                f"{name.familiar} has a digest; an image is pushed under a name and a tag", cure="Drop the `@`."
            )
    with tempfile.TemporaryDirectory(prefix="enclaver-push-") as work, opened(archive, Path(work)) as files:
        chosen = layout.only_manifest(files)
        parts = [(part, part.blob(files)) for part in layout.manifest_of(files, chosen).parts]
        for part, content in parts:
            digests.check(part.digest, digests.of(content, part.digest.algorithm).hex, str(part.digest))
        document = b"".join(bytes(chunk) for chunk in chosen.blob(files).chunks())
        for name in names:
            registry = registries.of(name)
            sent = [registry.push_blob(name.repository, str(part.digest), _Body(content)) for part, content in parts]
            registry.push_manifest(name.repository, name.tag or "", document, chosen.media_type)
            progress(f"{name}@{chosen.digest}: pushed, {sum(sent)} of {len(parts)} blobs sent")
        return chosen.digest
