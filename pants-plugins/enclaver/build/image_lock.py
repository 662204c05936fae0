"""Pinning images: what references mean now, in the docker daemon or in their registries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from enclaver.build import daemon_image
from enclaver.build import manifest as manifest_file
from enclaver.build.registries import Registries
from enclaver.build.registry_image import ACCEPT, RegistryImage
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.app_source import AppKind
from enclaver.core.oci import digest, image_lock, layout, reference
from enclaver.core.oci.image_lock import ImageLock, LockedImage
from enclaver.core.oci.reference import Reference
from enclaver.system.daemon import Daemon, DaemonError
from enclaver.system.registry_http import RegistryError

_DEFAULT_ARCHITECTURE: Final = "x86_64"
_NOTHING_KNOWN: Final = ImageLock()


class Source(Enum):
    """Where images are looked for: the daemon and then the registry, or one of them alone."""

    AUTO = "auto"
    DAEMON = "daemon"
    REGISTRY = "registry"


def update(
    *,
    existing: Path | None,
    images: Sequence[Reference],
    architectures: Sequence[str],
    registries: Registries,
    source: Source = Source.AUTO,
    upgrade: bool = True,
    progress: Callable[[str], None],
) -> ImageLock:
    """Return a lock that pins images; what else it has stays.

    Args:
        existing: the lock that there is.
        images: what to pin.
        architectures: for which (``x86_64``, ``aarch64``); empty for those that the lock pins it for already, and for
            x86_64 where it does for none.
        registries: asked for what is not in the daemon.
        source: where images are looked for.
        upgrade: look up again what is pinned already.
        progress: told a line an image: what it was, and what it is.

    Raises:
        EnclaverError: the lock is none, or an image can't be found.
    """
    old = image_lock.load(existing) if existing else ImageLock()
    wanted = {}
    for image in images:
        chosen = architectures or sorted(old.images.get(str(image), {})) or [_DEFAULT_ARCHITECTURE]
        wanted[image] = [each for each in chosen if upgrade or old.find(image, each) is None]
    found = resolve(wanted, source=source, registries=registries, known=old)
    for image, meanings in found.items():
        for architecture, new in meanings.items():
            progress(f"{image.familiar} {architecture}: {_change(old.find(image, architecture), new)}")
    return old.updated(found)


def referred_to(manifests: Sequence[Path]) -> list[Reference]:
    """Return the images that manifests are built from, sorted; one whose app is a target has none.

    Raises:
        EnclaverError: a manifest is none.
    """
    apps = [manifest_file.load(path).sources.app for path in manifests]
    found = {reference.parse(app.value) for app in apps if app.kind is AppKind.IMAGE}
    return sorted(found, key=str)


def resolve(
    wanted: Mapping[Reference, Sequence[str]],
    *,
    source: Source,
    registries: Registries,
    known: ImageLock = _NOTHING_KNOWN,
) -> dict[Reference, dict[str, LockedImage]]:
    """Return what references mean now, for the architectures that are wanted of each.

    Of an image that a daemon still has as ``known`` says, that stays: a daemon may not know its digest in the registry,
    or know the one of an index that has it, and whose daemon was asked is not to show.

    Raises:
        EnclaverError: the first that can't be found; it says where was looked.
    """
    return {image: meanings for image, meanings in _resolved(wanted, source, registries, known) if meanings}


def _resolved(
    wanted: Mapping[Reference, Sequence[str]], source: Source, registries: Registries, known: ImageLock
) -> Iterator[tuple[Reference, dict[str, LockedImage]]]:
    if source is Source.REGISTRY or not any(wanted.values()):
        yield from ((image, _all(image, each, registries)) for image, each in wanted.items())
        return
    try:
        daemon = Daemon()
    except DaemonError as error:
        if source is Source.DAEMON:
            raise
        reason = error.what
        yield from ((image, _all(image, each, registries, before=reason)) for image, each in wanted.items())
        return
    with daemon:
        for image, architectures in wanted.items():
            here = {each: one for each in architectures if (one := _in_daemon(daemon, image, each, known)) is not None}
            rest = [each for each in architectures if each not in here]
            if rest and source is Source.DAEMON:
                raise EnclaverError(
                    f"the docker daemon has no {image.familiar} for {rest[0]}",
                    cure="Build it or pull it, or let it be looked up in the registry (--source auto).",
                )
            before = f"the docker daemon has none for {rest[0]}" if rest else ""
            yield image, {**here, **_all(image, rest, registries, before=before)}


def _in_daemon(daemon: Daemon, image: Reference, architecture: str, known: ImageLock) -> LockedImage | None:
    found = daemon_image.find(daemon, image)
    if found is None or not daemon_image.runs_on(found, architecture):
        return None
    image_id, before = daemon_image.image_id(daemon, found, architecture), known.find(image, architecture)
    if before is not None and before.digest is not None and before.image_id == image_id:
        return before
    return LockedImage(daemon_image.registry_digest(found, image), image_id)


def _all(
    image: Reference, architectures: Sequence[str], registries: Registries, *, before: str = ""
) -> dict[str, LockedImage]:
    """Return what a reference means in its registry, for every architecture the same moment's.

    ``before`` says why the daemon is not where it is: whoever has it there, and no such registry, has to be told.
    """
    if not architectures:
        return {}
    registry = registries.of(image)
    try:
        top = image.digest or digest.parse(registry.resolve(image.repository, image.tag or "", accept=ACCEPT))
        with tempfile.TemporaryDirectory(prefix="enclaver-image-") as cache:
            files = RegistryImage(registry, image, Path(cache))
            chosen = {each: files.choose(top, each) for each in architectures}
            return {
                each: LockedImage(one.digest, layout.image_id(files, manifest))
                for each, (one, manifest) in chosen.items()
            }
    except EnclaverError as error:
        error.place = ": ".join(part for part in (image.familiar, error.place) if part)
        if before and isinstance(error, RegistryError):
            error.what = f"{error.what}; {before}"
        raise


def _change(old: LockedImage | None, new: LockedImage) -> str:
    """Say what became of a meaning, by the image's id and its digest in the registry."""
    if old == new:
        return f"{_shown(new)}, as it was"
    return _shown(new) if old is None else f"{_shown(old)} is now {_shown(new)}"


def _shown(one: LockedImage) -> str:
    return f"{one.image_id} ({f'in the registry {one.digest}' if one.digest else 'in no registry'})"
