"""`enclaver build` of images that `docker build` has made: they boot, serve, and are what umoci unpacks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enclaver.cli import main as command
from enclaver.core.oci import image
from tests.integration.container_tools import DockerDaemon, docker_daemon
from tests.integration.images import built
from tests.integration.images.built import Built
from tests.integration.images.unpacked import ours, shown, umoci
from tests.integration.runtime import booted
from tests.integration.tools import require

pytestmark = pytest.mark.slow
MANIFEST = """\
version: v1
name: {name}
target: {name}-enclave:1
sources:
  app: {app}
ingress:
  - listen_port: 8000
defaults:
  cpu_count: 1
  memory_mb: 512
"""
APPS = {"static": built.static, "musl": built.musl, "debian": built.python_on_debian}


@pytest.fixture(scope="module")
def daemon() -> Iterator[DockerDaemon]:
    with docker_daemon() as started:
        yield started


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def made(daemon: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    known: dict[str, Built] = {}

    def make(name: str) -> Built:
        if name not in known:
            known[name] = APPS[name](daemon, tmp_path_factory.mktemp(name))
        return known[name]

    return make


def enclaver(daemon: DockerDaemon, folder: Path, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """Run the command in a folder; return the summary that it prints, or, for another exit code, what it says."""
    done = subprocess.run(
        [sys.executable, str(command.__file__), *map(str, arguments)],
        cwd=folder,
        env={**booted.environment(), **daemon.environment, "PYTHONPATH": booted.environment()["PYTHONPATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout) if code == 0 else {"said": done.stderr}
    return summary


@pytest.mark.parametrize("name", list(APPS))
def test_an_image_becomes_an_enclave_that_serves(
    name: str, daemon: DockerDaemon, made: Callable[[str], Built], cache: Path, tmp_path: Path
) -> None:
    app = made(name)
    (tmp_path / "enclaver.yaml").write_text(MANIFEST.format(name=name, app=app.name))
    summary = enclaver(
        *(
            daemon,
            tmp_path,
            "build",
            "--eif-only",
            "out.eif",
            "--kernel",
            require("kernel").absolute(),
            "--cache",
            cache,
        )
    )
    assert summary["Sources"]["App"] == {"Name": app.name, "Digest": None, "ID": app.image_id}
    assert summary["EIF"] == "out.eif"
    with booted.running(tmp_path / "out.eif", "-p", "127.0.0.1:0:8000") as runner:
        assert booted.get(runner.url(8000)).body == app.answer


@pytest.mark.parametrize("name", list(APPS))
def test_its_tree_is_what_umoci_unpacks(
    name: str, daemon: DockerDaemon, made: Callable[[str], Built], tmp_path: Path
) -> None:
    app = made(name)
    saved, layout = tmp_path / "saved.tar", tmp_path / "layout"
    daemon.docker("save", "--output", saved, app.name)
    subprocess.run(
        [require("skopeo"), "--insecure-policy", "copy", "--quiet", f"docker-archive:{saved}", f"oci:{layout}:app"],
        check=True,
    )
    (tmp_path / "work").mkdir()
    tree = image.read(saved, tmp_path / "work", architecture="x86_64").tree
    assert ours(tree) == shown(umoci(layout, "app", tmp_path / "bundle"))


def test_the_default_file_a_lock_and_a_tag_that_moves(
    daemon: DockerDaemon, made: Callable[[str], Built], cache: Path, tmp_path: Path
) -> None:
    app = made("static")
    kernel = require("kernel").absolute()
    daemon.docker("tag", app.name, "moving:1")
    (tmp_path / "enclaver.yaml").write_text(MANIFEST.format(name="moving", app="moving:1"))
    locked = subprocess.run(
        [sys.executable, str(command.__file__), "lock", "images"],
        cwd=tmp_path,
        env={**booted.environment(), **daemon.environment, "PYTHONPATH": booted.environment()["PYTHONPATH"]},
        check=False,
    )
    assert locked.returncode == 0
    build = ("build", "--eif-only", "out.eif", "--kernel", kernel, "--cache", cache)
    first = enclaver(daemon, tmp_path, *build)
    daemon.docker("tag", made("musl").name, "moving:1")
    # The image that was pinned is still there, by its id.
    assert enclaver(daemon, tmp_path, *build) == first
    daemon.docker("image", "rm", "--force", app.name)
    said = enclaver(daemon, tmp_path, *build, code=1)["said"]
    assert app.image_id in said
    assert made("musl").image_id in said
    assert "enclaver lock images" in said


def test_the_target_image_is_loaded_into_the_daemon(
    daemon: DockerDaemon, made: Callable[[str], Built], cache: Path, tmp_path: Path
) -> None:
    app = made("musl")
    (tmp_path / "enclaver.yaml").write_text(MANIFEST.format(name="whole", app=app.name))
    summary = enclaver(daemon, tmp_path, "build", "--kernel", require("kernel").absolute(), "--cache", cache)
    found = json.loads(daemon.docker("image", "inspect", "whole-enclave:1"))[0]
    assert summary["Image"]["Name"] == "whole-enclave:1"
    assert summary["Image"]["ID"] == found["Id"]
    assert found["Config"]["Labels"]["io.enclaver.pcr0"] == summary["Measurements"]["PCR0"]
    # Nothing stays where it was built.
    assert [path.name for path in tmp_path.iterdir()] == ["enclaver.yaml"]


def test_the_packaged_command_builds_the_same(
    daemon: DockerDaemon, made: Callable[[str], Built], cache: Path, tmp_path: Path
) -> None:
    """What a file holds that was packaged is all that it builds from; of another checkout there is nothing."""
    pex = require("enclaver.pex").absolute()
    (tmp_path / "enclaver.yaml").write_text(MANIFEST.format(name="packaged", app=made("musl").name))
    options = ("--kernel", require("kernel").absolute(), "--cache", cache)
    whole = enclaver(daemon, tmp_path, "build", "--eif-only", "ours.eif", *options)
    inherited = {name: value for name, value in booted.environment().items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, pex, "build", "--archive", "x.tar", *options],
        cwd=tmp_path,
        env={**inherited, **{name: value for name, value in daemon.environment.items() if name.startswith("DOCKER_")}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Measurements"] == whole["Measurements"]
    command_of_sources = enclaver(daemon, tmp_path, "build", "--archive", "y.tar", *options)
    assert json.loads(done.stdout)["Image"]["Digest"] == command_of_sources["Image"]["Digest"]
