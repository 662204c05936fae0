"""What runs beside an enclave, by what its image obeys; and where the command's sentences go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from enclaver.build.image_config import obeyed_config
from enclaver.core.eif.reader import Image
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.model import Manifest
from enclaver_runtime.config import Config
from enclaver_runtime.config import parse as parse_config
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.services import ParentService, Publication, services

#: Where a manifest's ports are published, unless it is said: for this machine's user. What is for others is published
#: by name.
OWN_ADDRESS: Final = "127.0.0.1"


def tell(sentence: str) -> None:
    """Say something to the user, on standard error, in one line."""
    # Some of it may be the enclave's words, which are neither to steer a terminal nor to pass for ours.
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in sentence)
    # A terminal that is gone must not keep the app from being asked to end.
    with suppress(OSError):
        print(f"enclaver: {shown}", file=sys.stderr, flush=True)


def own_ports(manifest: Manifest | None, addresses: Sequence[str] = (OWN_ADDRESS,)) -> Sequence[Publication]:
    """Return the ingress ports of a manifest, published by their own numbers at addresses of this machine."""
    if manifest is None:
        return ()
    ports = [one.listen_port for one in manifest.ingress]
    return [Publication(address, port, port) for port in ports for address in addresses]


def obeyed(image: Image) -> Config | None:
    """Return what the image obeys, or None for an image of another tool's.

    Raises:
        EnclaverError: another release built it.
    """
    try:
        found = obeyed_config(image)
    except EnclaverError:
        # The file is sound (its CRC is), so this is another tool's ramdisk: compressed, for one.
        found = None
    if found is None:
        return None
    try:
        return parse_config(found)
    except ValueError as error:
        raise _other_release(image, error) from error


def parent_services(image: Image, config: Config | None, publish: Sequence[Publication]) -> Sequence[ParentService]:
    """Return what the parent runs beside the image: what the image's own configuration asks for.

    Raises:
        EnclaverError: it has not the ports that are to be published.
    """
    if config is None:
        if publish:
            raise EnclaverError(
                "the image has no runtime.json, so it has no ingress ports to publish",
                file=str(image.path),
                cure="Leave --publish out, or run an image that enclaver built.",
            )
        tell("the image has no runtime.json: no egress, no ingress")
        return ()
    try:
        return services(config, publish=publish, tell=tell)
    except ParentError as error:
        raise EnclaverError(str(error), file=str(image.path)) from error
    except ValueError as error:  # Of an egress entry.
        raise _other_release(image, error) from error


def _other_release(image: Image, error: ValueError) -> EnclaverError:
    return EnclaverError(
        f"its runtime.json is not of this release: {error}",
        file=str(image.path),
        cure="Run it with the release that built it.",
    )
