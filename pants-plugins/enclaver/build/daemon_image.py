"""Images of the docker daemon as files, checked: a daemon's names move, and it is not believed without a look."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci import image, platform, reference
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.platform import Platform
from enclaver.core.oci.reference import Reference
from enclaver.core.rootfs import spool
from enclaver.system.daemon import Daemon, DaemonImage


def save_image(image_id: str, output: Path) -> None:
    """Write an image of the daemon as a file, whole or not at all.

    Args:
        image_id: as the daemon calls it: ``sha256:...``, or as many of the digits as old builders print of it.
        output: the file to write.

    Raises:
        EnclaverError: there is no daemon, or it has no such image, or gives another, or one for no enclave.
    """
    with Daemon() as daemon:
        found = daemon.find(image_id)
        # A name is none: it means another image tomorrow.
        if found is None or not found.id.removeprefix("sha256:").startswith(image_id.removeprefix("sha256:")):
            raise EnclaverError(f"the docker daemon has no image {image_id}", cure="Build it, or load it.")
        architecture = next((name for name in platform.ARCHITECTURES if runs_on(found, name)), None)
        if architecture is None:
            raise platform.refused([_platform(found)], next(iter(platform.ARCHITECTURES)))
        expected = digests.parse(found.id) if found.id_is_config else None
        save(daemon, found, architecture, output, expected)


def save(daemon: Daemon, found: DaemonImage, architecture: str, output: Path, expected: Digest | None) -> Digest:
    """Write an image of the daemon as a file, if it is the one that is expected; return its image id.

    Args:
        architecture: the enclave's.
        output: the file to write, whole or not at all.
        expected: the sha256 of its configuration; None for whatever it is.

    Raises:
        EnclaverError: it is another one, or for another machine, or can't be saved.
    """
    with tempfile.TemporaryDirectory(prefix=".image-", dir=output.absolute().parent) as work:
        saved = Path(work, "image.tar")
        daemon.save(found.id, saved, limit=spool.LIMIT)
        image_id = image.identify(saved, Path(work), architecture=architecture).digest
        if expected is not None and image_id != expected:
            raise EnclaverError(
                f"the docker daemon saves another image than was asked for: its id is {image_id}, not {expected}",
                cure="Check the daemon (docker image inspect), and pull or build the image again.",
            )
        os.replace(saved, output)
    return image_id


def image_id(daemon: Daemon, found: DaemonImage, architecture: str) -> Digest:
    """Return the sha256 of an image's configuration. Raises EnclaverError."""
    if found.id_is_config:
        return digests.parse(found.id)
    # Where the daemon keeps images as registries do, its id is a manifest's or an index's: only a look inside helps.
    with tempfile.TemporaryDirectory(prefix="enclaver-image-") as work:
        return save(daemon, found, architecture, Path(work, "looked-at.tar"), None)


def find(daemon: Daemon, wanted: Reference) -> DaemonImage | None:
    """Return the image that a reference means in the daemon. Raises EnclaverError."""
    if wanted.digest is None:
        return daemon.find(wanted.familiar)
    return daemon.find(Reference(wanted.registry, wanted.repository, None, wanted.digest).familiar)


def runs_on(found: DaemonImage, architecture: str) -> bool:
    """Whether an image is for an enclave's architecture."""
    return platform.rank(_platform(found), architecture) is not None


def registry_digest(found: DaemonImage, wanted: Reference) -> Digest | None:
    """Return the digest that an image has in a reference's registry, as far as the daemon knows."""
    matching = {}
    for text in found.repo_digests:
        # Daemons have written what is no reference there: `<none>@<none>`.
        with suppress(EnclaverError):
            known = reference.parse(text)
            if known.name == wanted.name and known.digest is not None:
                matching[str(known.digest)] = known.digest
    if wanted.digest is not None and str(wanted.digest) in matching:
        return wanted.digest
    # Several, when the same image was pushed in several forms; any of them has it.
    return matching[min(matching)] if matching else None


def _platform(found: DaemonImage) -> Platform:
    return Platform(found.os, found.architecture, found.variant)
