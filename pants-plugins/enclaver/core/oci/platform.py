"""For which machines an image is.

Source: OCI image-spec, image-index.md, and Go's GOOS and GOARCH, which it refers to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import documents
from enclaver.core.oci.documents import Object

#: The architectures of enclaves, in Linux's names and in images'.
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
# Variants in the order of preference. An enclave's machine is no older than these, and the first runs anywhere.
_VARIANTS: Final = {"amd64": ("", "v1", "v2", "v3"), "arm64": ("", "v8")}
_LINUX: Final = "linux"


@dataclass(frozen=True, slots=True)
class Platform:
    """What a program runs on: ``linux``, ``amd64``, and a variant or ''."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return ascii("/".join(part for part in (self.os, self.architecture, self.variant) if part))[1:-1]


def parse(value: Object) -> Platform:
    """Parse a platform object, or an image's configuration, which has the same keys. Raises EnclaverError."""
    return Platform(*(documents.text(value, key, "") for key in ("os", "architecture", "variant")))


def rank(platform: Platform, architecture: str) -> int | None:
    """Return how well a platform suits an enclave, 0 being best; None when its programs can't run there.

    Args:
        platform: an image's.
        architecture: the enclave's, a key of ARCHITECTURES.
    """
    name = ARCHITECTURES[architecture]
    if (platform.os, platform.architecture) != (_LINUX, name) or platform.variant not in _VARIANTS[name]:
        return None
    return _VARIANTS[name].index(platform.variant)


def refused(platforms: Sequence[Platform], architecture: str) -> EnclaverError:
    """Return the error for an image that is for other machines only."""
    wanted = f"{_LINUX}/{ARCHITECTURES[architecture]}"
    have = ", ".join(sorted({str(platform) or "no named platform" for platform in platforms})) or "nothing"
    return EnclaverError(
        f"the image is for {have}, not for {wanted}",
        cure=f"Build or pull it with --platform {wanted}, or change the enclave's architecture.",
    )
