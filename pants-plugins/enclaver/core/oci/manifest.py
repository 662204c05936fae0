"""An image's manifest: its configuration and its layers. Source: OCI image-spec, manifest.md."""

from __future__ import annotations

from dataclasses import dataclass

from enclaver.core.oci import descriptor as descriptors
from enclaver.core.oci import documents
from enclaver.core.oci.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest names; the lowest layer is the first. No type and no digest of them is checked yet."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def parts(self) -> tuple[Descriptor, ...]:
        """All that it names, each digest once."""
        return tuple({part.digest: part for part in (self.config, *self.layers)}.values())


def parse(value: object) -> Manifest:
    """Parse a manifest's JSON value. Raises EnclaverError."""
    found = documents.as_object(value, "manifest")
    layers = tuple(descriptors.parse(item) for item in documents.objects(found, "layers"))
    return Manifest(descriptors.parse(documents.child(found, "config")), layers)
