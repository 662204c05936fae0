"""Images by reference, from and to a real docker daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from enclaver.build import daemon_image, image_fetch, image_lock, image_push
from enclaver.build.image_lock import Source
from enclaver.build.registries import Registries
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image as images
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci.image_lock import LockedImage
from enclaver.core.oci.reference import Reference, parse
from enclaver.system.daemon import Daemon
from tests.integration.container_tools import DockerDaemon, Registry, docker_daemon, registry
from tests.integration.images.unpacked import ours
from tests.integration.tools import ROOT
from tests.unit.enclaver.core.oci.archives import Parts, member, parts, sha256, tar, to_json
from tests.unit.enclaver.core.oci.test_archive import written

BASE = tar(member("bin/server", b"#!" * 400_000, mode=0o4755, uid=7))
ONE = parts(BASE, tar(member("etc/config", b"one")), how="+gzip", Cmd=["/bin/server"])
TWO = parts(BASE, tar(member("etc/config", b"two")), how="+gzip", Cmd=["/bin/server"])
ID = {one: sha256(to_json(parts_.config)) for one, parts_ in (("one", ONE), ("two", TWO))}


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerDaemon]:
    with docker_daemon() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(autouse=True)
def _environment(docker: DockerDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, docker.environment[name])


def loaded(place: Path, one: Parts, name: str) -> str:
    """Load an image into the daemon; returns its id."""
    (place / "loaded.tar").write_bytes(written(one, names=[name]))
    with Daemon() as daemon:
        assert daemon.load(place / "loaded.tar") == (name,)
        found = daemon.find(name)
    assert found is not None
    return found.id


def pushed(place: Path, one: Parts, image: Reference) -> str:
    (place / "pushed.tar").write_bytes(written(one))
    with Registries() as registries:
        return str(image_push.push(place / "pushed.tar", [image], registries=registries, progress=lambda _: None))


def lock(place: Path, image: Reference, source: Source = Source.AUTO) -> tuple[Path, LockedImage]:
    with Registries() as registries:
        found = image_lock.update(
            existing=None,
            images=[image],
            architectures=["x86_64"],
            registries=registries,
            source=source,
            progress=lambda _: None,
        )
    path = place / "enclave.images.lock"
    path.write_bytes(lock_format.render(found))
    return path, found.get(image, "x86_64", file=str(path))


def fetch(path: Path, image: Reference, output: Path, source: Source = Source.AUTO) -> tuple[images.Image, str]:
    told: list[str] = []
    with Registries() as registries:
        image_fetch.fetch(
            lock=path,
            image=str(image),
            architecture="x86_64",
            output=output,
            cache=None,
            registries=registries,
            source=source,
            progress=told.append,
        )
    work = output.parent / f"work-{output.name}"
    work.mkdir()
    return images.read(output, work, architecture="x86_64"), told[0]


def test_an_image_that_is_only_in_the_daemon(docker: DockerDaemon, tmp_path: Path) -> None:
    image = parse("only:here")
    assert loaded(tmp_path, ONE, "only:here") == ID["one"]
    path, locked = lock(tmp_path, image)
    assert (locked.digest, str(locked.image_id)) == (None, ID["one"])
    found, told = fetch(path, image, tmp_path / "x.tar")
    assert told.endswith("from the docker daemon")
    assert str(found.digest) == ID["one"]
    (tmp_path / "work").mkdir()
    assert ours(found.tree) == ours(images.read(tmp_path / "loaded.tar", tmp_path / "work", architecture="x86_64").tree)


def test_a_built_image_is_found_by_its_id(docker: DockerDaemon, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "server").write_bytes(b"#!/bin/sh\n")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY server /server\nCMD ["/server"]\n')
    image_id = docker.build("built:1", context)
    daemon_image.save_image(image_id, tmp_path / "x.tar")
    (tmp_path / "work").mkdir()
    found = images.read(tmp_path / "x.tar", tmp_path / "work", architecture="x86_64")
    assert str(found.digest) == image_id
    assert [entry.path for entry in found.tree] == ["server"]


def test_a_daemon_that_has_another_by_now(docker: DockerDaemon, tmp_path: Path) -> None:
    image = parse("drifting:1")
    loaded(tmp_path, ONE, "drifting:1")
    path, _ = lock(tmp_path, image)
    loaded(tmp_path, TWO, "drifting:1")
    # Under no name, and still there: the lock's is what is taken.
    found, _ = fetch(path, image, tmp_path / "x.tar")
    assert str(found.digest) == ID["one"]
    docker.docker("image", "rm", "--force", ID["one"])
    with pytest.raises(EnclaverError) as caught:
        fetch(path, image, tmp_path / "y.tar")
    assert (
        f"drifting:1 is pinned as {ID['one']}, in no registry, and the docker daemon has {ID['two']} there now"
        in str(caught.value)
    )
    assert "`enclaver lock images drifting:1`" in str(caught.value)
    assert not (tmp_path / "y.tar").exists()


def test_what_docker_pulled_is_known_by_its_digest(docker: DockerDaemon, server: Registry, tmp_path: Path) -> None:
    image = parse(f"{server.host}/team/pulled:1")
    digest = pushed(tmp_path, ONE, image)
    docker.docker("pull", "--quiet", str(image))
    path, locked = lock(tmp_path, image)
    assert (str(locked.digest), str(locked.image_id)) == (digest, ID["one"])
    assert lock(tmp_path, image, Source.REGISTRY)[1] == locked
    by_daemon, told = fetch(path, image, tmp_path / "x.tar")
    assert told.endswith("from the docker daemon")
    docker.docker("image", "rm", "--force", ID["one"])
    by_registry, told = fetch(path, image, tmp_path / "y.tar")
    assert told.endswith(f"from the registry {server.host}")
    assert (by_daemon.digest, by_daemon.size) == (by_registry.digest, by_registry.size)
    assert ours(by_daemon.tree) == ours(by_registry.tree)


def test_what_docker_pushed_is_fetched_and_its_digest_is_docker_s(
    docker: DockerDaemon, server: Registry, tmp_path: Path
) -> None:
    image = parse(f"{server.host}/team/pushed:1")
    loaded(tmp_path, ONE, str(image))
    docker.docker("push", "--quiet", str(image))
    [told] = json.loads(docker.docker("image", "inspect", "--format", "{{json .RepoDigests}}", str(image)))
    path, locked = lock(tmp_path, image, Source.REGISTRY)
    assert told == f"{image.name}@{locked.digest}"
    docker.docker("image", "rm", "--force", ID["one"])
    assert str(fetch(path, image, tmp_path / "x.tar")[0].digest) == ID["one"]


def test_what_was_fetched_is_loaded(docker: DockerDaemon, server: Registry, tmp_path: Path) -> None:
    image = parse(f"{server.host}/team/loaded:1")
    pushed(tmp_path, TWO, image)
    fetch(lock(tmp_path, image, Source.REGISTRY)[0], image, tmp_path / "x.tar", Source.REGISTRY)
    assert docker.docker("load", "--quiet", "--input", tmp_path / "x.tar") == f"Loaded image: {image}"
    with Daemon() as daemon:
        daemon.tag(str(image), "renamed", "2")
        found = daemon.find("renamed:2")
    assert found is not None
    assert found.id == ID["two"]


def test_a_daemon_that_does_not_take_it(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive")
    with (
        Daemon() as daemon,
        pytest.raises(EnclaverError, match="the docker daemon at unix://.* (refuses|does not load)"),
    ):
        daemon.load(tmp_path / "x.tar")


@pytest.mark.parametrize("chosen", ["DOCKER_CONTEXT", "currentContext"])
def test_docker_s_context(docker: DockerDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    loaded(tmp_path, ONE, "in-context:1")
    folder = tmp_path / "config"
    folder.mkdir()
    # Where there is none, docker's SDK looks for contexts in the working folder.
    (folder / "config.json").write_text("{}")
    environment: Mapping[str, str] = {**docker.environment, "DOCKER_CONFIG": str(folder)}
    other = DockerDaemon(docker.host, {name: value for name, value in environment.items() if name != "DOCKER_HOST"})
    other.docker("context", "create", "tests", "--docker", f"host={docker.host}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.delenv("DOCKER_HOST")
    if chosen == "DOCKER_CONTEXT":
        monkeypatch.setenv(chosen, "tests")
    else:
        other.docker("context", "use", "tests")
    with Daemon() as daemon:
        assert daemon.find("in-context:1") is not None


def test_the_command_and_the_stages(docker: DockerDaemon, server: Registry, tmp_path: Path) -> None:
    """What a user types, and what Pants starts."""
    image = f"{server.host}/team/typed:1"
    pushed(tmp_path, ONE, parse(image))
    loaded(tmp_path, TWO, "typed:2")
    (tmp_path / "enclaver.yaml").write_text(f"version: v1\nname: x\ntarget: x:1\nsources:\n  app: '{image}'\n")

    def run(module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"enclaver.cli.{module}", *arguments],
            cwd=tmp_path,
            env={**docker.environment, "PYTHONPATH": f"{ROOT}/pants-plugins:{ROOT}/runtime"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    told = run("main", "lock", "images", "-f", "enclaver.yaml", "typed:2")
    assert f"typed:2 x86_64: {ID['two']} (in no registry)" in told
    assert f"{image} x86_64: {ID['one']} (in the registry " in told
    before = (tmp_path / "enclave.images.lock").read_bytes()
    run(
        *("stages.lock_images", "--manifest", "enclaver.yaml", "--architecture", "x86_64"),
        *("--existing", "enclave.images.lock", "--output", "enclave.images.lock", "--upgrade"),
    )
    assert (tmp_path / "enclave.images.lock").read_bytes() == before
    for reference in (image, "typed:2"):
        run(
            *("stages.fetch_image", "--lock", "enclave.images.lock", "--reference", reference),
            *("--architecture", "x86_64", "--output", "x.tar", "--cache", "cache"),
        )
        assert (tmp_path / "x.tar").exists()
    run("stages.save_image", "--image-id", ID["two"], "--output", "y.tar")
    assert images.identify(tmp_path / "y.tar", tmp_path, architecture="x86_64").digest.hex == ID["two"][7:]
