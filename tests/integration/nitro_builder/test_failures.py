"""What goes wrong when the real nitro-cli builds: told with its cure, and nothing left of it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enclaver.build import nitro_builder
from enclaver.core.errors import EnclaverError
from enclaver.system.daemon import DaemonError
from enclaver.system.daemon_loan import lent
from tests.integration.nitro_builder import blobs, worlds
from tests.integration.nitro_builder.worlds import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.made(tmp_path_factory.mktemp("world")) as made:
        yield made


_LEAVES_A_CONTAINER = """\
#!/bin/sh
for last; do :; done
image=$(grep -o 'enclaver-build-[0-9a-f]*:latest' "$last") || exit 0
docker create "$image" /x >&2
exit 1
"""


def fail(program: Path, says: str) -> None:
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")


@pytest.mark.parametrize(
    ("damage", "message", "cure"),
    [
        (
            lambda blobs: fail(blobs / "linuxkit", "write /x: no space left on device"),
            "failed (E48): there is no space left on the device: Linuxkit reported an error",
            "Make room where the output goes",
        ),
        (
            lambda blobs: fail(blobs / "linuxkit", "unknown flag: --no-sbom"),
            "failed (E48): linuxkit, from the blobs folder, has failed: Linuxkit reported an error",
            "See what it says",
        ),
        (
            lambda blobs: (blobs / "bzImage.config").write_bytes(b""),
            "build-enclave failed: it panicked: called `Option::unwrap()`",
            "Look at the blobs folder",
        ),
        (lambda blobs: (blobs / "linuxkit").write_bytes(b"\x7fELF?"), "LinuxkitExecError", "See what it says"),
    ],
)
def test_failures_of_nitro_cli_are_explained_and_leave_nothing(
    world: World, tmp_path: Path, damage: Callable[[Path], object], message: str, cure: str
) -> None:
    folder = blobs.make(tmp_path / "blobs")
    damage(folder)
    with pytest.raises(EnclaverError) as caught:
        worlds.build(world, tmp_path / "out", blobs=folder)
    assert message in str(caught.value)
    assert cure in str(caught.value)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"image.tar", "image.json"}
    assert world.docker.docker("image", "ls", "--quiet", "--filter", "reference=enclaver-build*") == ""
    assert world.docker.docker("container", "ls", "--all", "--quiet") == ""


def test_what_the_daemon_does_not_take_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"no archive")
    with pytest.raises(DaemonError, match="does not load"), lent(tmp_path / "image.tar"):
        pass


def test_a_daemon_that_is_down_is_told_before_anything_is_built(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EnclaverError, match=r"there is no docker daemon at unix:///.*none\.sock") as caught:
        worlds.build(world, tmp_path / "out")
    assert caught.value.cure is not None
    assert caught.value.cure.startswith("Start it")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"image.tar", "image.json"}
    del caught
    with warnings.catch_warnings():
        # docker's SDK leaves the socket of a connection that has failed to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_blobs_and_a_nitro_cli_that_are_not_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blobs").mkdir()
    with pytest.raises(EnclaverError, match=r"no bzImage, no bzImage\.config, no cmdline, no init, no nsm\.ko"):
        worlds.build(world, tmp_path / "out", blobs=tmp_path / "blobs")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnclaverError, match="nitro-cli was not found"):
        nitro_builder.build(
            image=(tmp_path / "x", tmp_path / "y"),
            program=None,
            blobs=world.blobs,
            architecture="x86_64",
            name="x",
            version="1",
            output=tmp_path / "x.eif",
        )
