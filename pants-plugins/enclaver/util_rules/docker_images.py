"""The ``docker_image`` targets of a repository, by the references that Pants would tag their images with."""

from __future__ import annotations

from typing import Iterator, List

from pants.backend.docker.goals.package_image import DockerPackageFieldSet
from pants.backend.docker.subsystems.docker_options import DockerOptions
from pants.engine.addresses import Address
from pants.engine.target import Target
from pants.util.value_interpolation import InterpolationContext, InterpolationError

from enclaver.engine import all_targets
from enclaver.util_rules.references import Reference
from enclaver.util_rules.tool import EnclaveBuildError

DOCKER_IMAGE = "docker_image"
# The names of Docker's own registry, and the folder of its own images there: what nobody writes.
_UNWRITTEN = ("docker.io/", "index.docker.io/", "library/")


async def built_here(image: str, options: DockerOptions, origin: str) -> Reference | None:
    """Return the ``docker_image`` that makes an image; None when none does.

    Args:
        image: the reference, as it is written in a manifest.
        options: how the docker backend names images.
        origin: where it is written, for errors.

    Raises:
        EnclaveBuildError: several do.
    """
    wanted = _plain(image)
    found: List[Address] = [
        target.address
        for target in await all_targets()
        if target.alias == DOCKER_IMAGE and wanted in map(_plain, _names(target, options))
    ]
    if len(found) > 1:
        raise EnclaveBuildError(
            f"{origin}: several targets make {image}: {', '.join(sorted(map(str, found)))}\n"
            "  Say which by `app` on the enclave_image, or tag them differently."
        )
    return Reference("//" + found[0].spec.lstrip("/"), origin) if found else None


def _names(target: Target, options: DockerOptions) -> Iterator[str]:
    """Yield what an image will be tagged with, as far as the BUILD file and the options say it."""
    fields = DockerPackageFieldSet.create(target)
    try:
        for registry in fields.image_refs(options.default_repository, options.registries(), InterpolationContext()):
            for tag in registry.tags:
                yield tag.full_name
    except InterpolationError:
        # A name with a build argument or a digest in it is known when the image is built, and not before.
        return


def _plain(image: str) -> str:
    """Return a reference without what may be left out of it: Docker's own registry; and with its tag."""
    name, at, digest = image.partition("@")
    for part in _UNWRITTEN:
        name = name[len(part) :] if name.startswith(part) else name
    tagged = ":" in name.rpartition("/")[2]
    return f"{name}{at}{digest}" if tagged or at else f"{name}:latest"
