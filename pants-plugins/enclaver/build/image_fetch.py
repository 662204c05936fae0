"""Bringing exactly the image that a lock pins, as one archive, from wherever it can be had."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from enclaver.build import daemon_image
from enclaver.build.image_lock import Source
from enclaver.build.registries import Registries
from enclaver.build.registry_image import RegistryImage
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image_lock, layout, reference
from enclaver.core.oci.archive import write_archive
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.image_lock import LockedImage
from enclaver.core.oci.reference import Reference
from enclaver.system.atomic import atomic_output
from enclaver.system.daemon import Daemon, DaemonError, DaemonImage
from enclaver.system.registry_http import RegistryError


def fetch(
    *,
    lock: Path,
    image: str,
    architecture: str,
    output: Path,
    cache: Path | None,
    registries: Registries,
    source: Source = Source.AUTO,
    progress: Callable[[str], None],
) -> None:
    """Bring a pinned image: from the docker daemon when it has it, else from its registry.

    Args:
        lock: the lock.
        image: the reference, as short or as long as it may be.
        architecture: ``x86_64`` or ``aarch64``.
        output: the archive to write, whole or not at all. What comes from a registry gives the same bytes always; what
            comes from a daemon is what it saves. Either is the image that the lock's image id names.
        cache: a folder where what comes from registries stays.
        registries: asked for what is not in the daemon.
        source: where it is looked for.
        progress: told where it comes from.

    Raises:
        EnclaverError: the lock does not pin it, or nobody has it as the lock says.
    """
    wanted = reference.parse(image)
    locked = image_lock.load(lock).get(wanted, architecture, file=str(lock))
    why = EnclaverError(
        "the docker daemon was not asked",
        cure="Let it be asked (without --pull), or push that image and pin it again: "
        f"`enclaver lock images {wanted.familiar}`.",
    )
    if source is not Source.REGISTRY:
        try:
            with Daemon() as daemon:
                if _from_daemon(daemon, wanted, locked, architecture, output):
                    progress(f"{wanted.familiar} ({locked.image_id}) from the docker daemon")
                    return
                why = _drift(daemon, wanted)
        except DaemonError as error:
            if source is Source.DAEMON:
                raise
            why = error
    if locked.digest is None or source is Source.DAEMON:
        raise _lost(lock, wanted, locked, why)
    with _cache(cache) as folder:
        files = RegistryImage(registries.of(wanted), wanted, folder)
        try:
            _from_registry(files, locked.digest, locked.image_id, architecture, wanted, output)
        except EnclaverError as error:
            error.place = ": ".join(part for part in (wanted.familiar, error.place) if part)
            if source is not Source.REGISTRY and isinstance(error, RegistryError):
                error.what = f"{error.what}; {why.what}"
            raise
    progress(f"{wanted.familiar} ({locked.image_id}) from the registry {wanted.registry}")


def _from_daemon(daemon: Daemon, wanted: Reference, locked: LockedImage, architecture: str, output: Path) -> bool:
    """Save the image if the daemon has it; whether it had."""
    found = daemon.find(str(locked.image_id)) or _under_its_name(daemon, wanted, locked, architecture)
    if found is None:
        return False
    daemon_image.save(daemon, found, architecture, output, locked.image_id)
    return True


def _under_its_name(daemon: Daemon, wanted: Reference, locked: LockedImage, architecture: str) -> DaemonImage | None:
    """Return the image in a daemon that calls images otherwise than by their configuration's digest."""
    found = daemon_image.find(daemon, wanted)
    if found is None or found.id_is_config or not daemon_image.runs_on(found, architecture):
        return None
    return found if daemon_image.image_id(daemon, found, architecture) == locked.image_id else None


def _from_registry(
    files: RegistryImage, digest: Digest, image_id: Digest, architecture: str, wanted: Reference, output: Path
) -> None:
    chosen, manifest = files.choose(digest, architecture)
    found = layout.image_id(files, manifest)
    if found != image_id:
        raise EnclaverError(
            f"the lock is at odds with itself: the image of {digest} has the id {found}, not {image_id}",
            cure=f"Pin it again: `enclaver lock images {wanted.familiar}`.",
        )
    blobs = files.blobs(manifest)
    document = b"".join(bytes(chunk) for chunk in chosen.blob(files).chunks())
    names = [wanted.familiar] if wanted.digest is None else []
    with atomic_output(output) as out:
        write_archive(out, manifest=document, media_type=chosen.media_type, blobs=blobs, names=names)


def _drift(daemon: Daemon, wanted: Reference) -> EnclaverError:
    """Say what the daemon has instead."""
    found = daemon_image.find(daemon, wanted)
    return EnclaverError(
        "the docker daemon has no image of that name"
        if found is None
        else f"the docker daemon has {found.id} there now",
        cure=f"Build or load that image again, or pin the one there is: `enclaver lock images {wanted.familiar}`.",
    )


def _lost(lock: Path, wanted: Reference, locked: LockedImage, why: EnclaverError) -> EnclaverError:
    """Return the error for an image that is only where it can't be had, and why it can't."""
    there = "in no registry" if locked.digest is None else f"in the registry as {locked.digest}, which was not asked"
    return EnclaverError(
        f"{wanted.familiar} is pinned as {locked.image_id}, {there}, and {why.what}",
        file=str(lock),
        cure=why.cure,
    )


@contextmanager
def _cache(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="enclaver-image-") as temporary:
        yield Path(temporary)
