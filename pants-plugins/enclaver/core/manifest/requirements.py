"""What a manifest asks for and a build was not given: refused by name, never silently left out."""

from __future__ import annotations

from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.problems import ManifestError


def check_unsigned(manifest: Manifest) -> None:
    """Refuse to leave out the signature that a manifest asks for.

    Raises:
        ManifestError: it asks for one.
    """
    if manifest.signature is not None:
        problem = manifest.origin.problem(
            "signature",
            "`signature`: the image is to be signed, and whoever builds it was given no certificate and no key",
            "give both, or remove it to build an unsigned image",
        )
        raise ManifestError(manifest.origin.source.file, [problem])
