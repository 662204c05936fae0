"""A docker daemon, a folder of blobs and the packaged runtime, for the builder that is nitro-cli."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from enclaver.build import nitro_builder, nitro_image
from tests.integration.container_tools import DockerDaemon, docker_daemon
from tests.integration.nitro_builder import blobs, parts
from tests.integration.nitro_builder.parts import Pair
from tests.integration.tools import require


@dataclass(frozen=True)
class World:
    """A daemon, a folder of blobs, and the ramdisks of the packaged image."""

    docker: DockerDaemon
    blobs: Path
    boot: Pair
    app: Pair


@contextmanager
def made(folder: Path) -> Iterator[World]:
    """Make all of it; docker's variables of this process lead to the daemon meanwhile."""
    boot, app = parts.of_hello(folder)
    with docker_daemon() as docker, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DOCKER_")]:
            patch.delenv(name)
        for name, value in docker.environment.items():
            if name.startswith("DOCKER_"):
                patch.setenv(name, value)
        yield World(docker, blobs.make(folder / "blobs"), boot, app)


def build(world: World, folder: Path, *, app: Pair | None = None, blobs: Path | None = None) -> Path:
    """Build an image of the packaged runtime and an app (default: the packaged one)."""
    folder.mkdir(exist_ok=True)
    image = folder / "image.tar", folder / "image.json"
    nitro_image.nitro_image(boot=world.boot, app=app or world.app, architecture="x86_64", output=image)
    nitro_builder.build(
        image=image,
        program=require("nitro-cli"),
        blobs=blobs or world.blobs,
        architecture="x86_64",
        name="tested",
        version="1.0",
        output=folder / "x.eif",
    )
    return folder / "x.eif"


def of_scratch(world: World, folder: Path, command: Sequence[str]) -> Path:
    """Build an image of the packaged runtime and busybox, which runs ``command``."""
    folder.mkdir(exist_ok=True)
    return build(world, folder, app=parts.of_scratch(folder, world.docker, command))
