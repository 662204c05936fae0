"""What a manifest asks for that this release cannot build: refused by name, never silently left out."""

from __future__ import annotations

from enclaver.core.manifest.app_source import AppKind
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.problems import ManifestError, Problem

_NOT_YET = "this release does not build it, and leaving it out would build another enclave than you asked for"


def unsupported(manifest: Manifest, *, app_overridden: bool = False) -> list[Problem]:
    """What a build refuses, in the file's order.

    Args:
        manifest: a valid manifest.
        app_overridden: the app is given otherwise (``app=`` of the target), so ``sources.app`` is not used.
    """
    found: list[Problem] = []

    def refuse(key: str, what: str, cure: str) -> None:
        found.append(manifest.origin.problem(key, f"`{key}` ({what}): {_NOT_YET}", cure))

    if manifest.sources.app.kind is AppKind.IMAGE and not app_overridden:
        refuse(
            "sources.app",
            "an app from an image",
            "name a Pants target (`:name` or `//path:name`), or set `app=` on the enclave_image target",
        )
    if manifest.signature is not None:
        refuse("signature", "a signed image", "remove it to build an unsigned image")
    return sorted(found, key=lambda problem: (problem.place.line, problem.place.column))


def check_buildable(manifest: Manifest, *, app_overridden: bool = False) -> None:
    """Refuse a manifest that asks for more than this release builds.

    Raises:
        ManifestError: holds what ``unsupported`` finds.
    """
    if found := unsupported(manifest, app_overridden=app_overridden):
        raise ManifestError(manifest.origin.source.file, found)
