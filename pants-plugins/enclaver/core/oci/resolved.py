"""An image that was chosen and found whole: its configuration and its layers, none of them unpacked yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import platform
from enclaver.core.oci.config import ImageConfig
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.layer import Layer


@dataclass(frozen=True, slots=True)
class Resolved:
    """An image.

    Args:
        digest: the sha256 of its configuration, which docker calls the image's id.
        size: of its configuration, in bytes.
        config: its configuration.
        layers: the lowest first.
    """

    digest: Digest
    size: int
    config: ImageConfig
    layers: tuple[Layer, ...]


def check(config: ImageConfig, layers: int, architecture: str) -> None:
    """Refuse an image for another machine, or whose parts don't fit each other. Raises EnclaverError."""
    if platform.rank(config.platform, architecture) is None:
        raise platform.refused([config.platform], architecture)
    if layers != len(config.diff_ids):
        raise EnclaverError(
            f"the image has {layers} layers and its configuration names {len(config.diff_ids)}",
            cure="Save or pull the image again.",
        )


def only(names: Sequence[str], wanted: str | None) -> EnclaverError:
    """Return the error for an archive of which no single image can be chosen."""
    have = ", ".join(sorted({ascii(name)[1:-1][:200] for name in names})[:10]) or "without names"
    if wanted is None:
        return EnclaverError(f"holds several images: {have}", cure="Save one alone, or say which by its reference.")
    return EnclaverError(f"holds no image called {wanted!a}; it has: {have}", cure="Name one of these.")
