from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import image_fetch
from enclaver.build.image_lock import Source
from enclaver.build.registries import Registries
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci import image as images
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci.image_lock import ImageLock, LockedImage
from enclaver.core.oci.reference import Reference, parse
from tests.fake_docker import FakeDaemon
from tests.fake_registry import FakeRegistry
from tests.unit.enclaver.build.published import ARM, ONE, TWO, digest, image_id, loaded, published, published_index
from tests.unit.enclaver.core.oci.archives import Parts, listed

OTHER = "sha256:" + "7" * 64


def locked(place: Path, image: Reference, one: Parts, found: str | None, architecture: str = "x86_64") -> Path:
    """A lock that pins an image."""
    meaning = LockedImage(digests.parse(found) if found else None, digests.parse(image_id(one)))
    path = place / "enclave.images.lock"
    path.write_bytes(lock_format.render(ImageLock({str(image): {architecture: meaning}})))
    return path


def fetch(lock: Path, image: Reference | str, output: Path, **options: Any) -> list[str]:
    told: list[str] = []
    defaults: dict[str, Any] = {"architecture": "x86_64", "cache": None}
    with Registries() as registries:
        image_fetch.fetch(
            lock=lock,
            image=str(image),
            output=output,
            registries=registries,
            progress=told.append,
            **{**defaults, **options},
        )
    return told


def read(path: Path, work: Path, architecture: str = "x86_64") -> images.Image:
    work.mkdir(exist_ok=True)
    return images.read(path, work, architecture=architecture)


@pytest.mark.usefixtures("_no_daemon")
def test_from_the_registry(server: FakeRegistry, tmp_path: Path) -> None:
    image = published(server, ONE)
    lock = locked(tmp_path, image, ONE, digest(ONE))
    told = fetch(lock, image, tmp_path / "x.tar", cache=tmp_path / "cache")
    assert told == [f"{image} ({image_id(ONE)}) from the registry {server.host}"]
    found = read(tmp_path / "x.tar", tmp_path / "work")
    assert str(found.digest) == image_id(ONE)
    assert listed(found.tree) == {"one": b"1", "two": b"2"}
    # A tag that moves changes nothing, and what is in the cache is not asked for.
    published(server, TWO)
    server.requests.clear()
    fetch(lock, image, tmp_path / "y.tar", cache=tmp_path / "cache")
    assert server.requests == []
    fetch(lock, image, tmp_path / "z.tar")
    assert all("/manifests/1" not in each for each in server.asks())
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes() == (tmp_path / "z.tar").read_bytes()


@pytest.mark.usefixtures("_no_daemon")
@pytest.mark.parametrize(("architecture", "one"), [("x86_64", ONE), ("aarch64", ARM)])
def test_an_index_is_as_good_as_its_manifest(
    server: FakeRegistry, tmp_path: Path, architecture: str, one: Parts
) -> None:
    image, index = published_index(server)
    written = []
    for number, found in enumerate((index, digest(one))):
        lock = locked(tmp_path, image, one, found, architecture)
        output = tmp_path / f"{number}.tar"
        fetch(lock, image, output, architecture=architecture)
        written.append(output.read_bytes())
    assert written[0] == written[1]
    assert str(read(output, tmp_path / "work", architecture).digest) == image_id(one)


def test_from_the_daemon_by_its_id_whatever_its_name(daemon: FakeDaemon, server: FakeRegistry, tmp_path: Path) -> None:
    image = published(server, ONE)
    loaded(daemon, ONE)
    loaded(daemon, TWO, str(image))
    lock = locked(tmp_path, image, ONE, digest(ONE))
    assert fetch(lock, image, tmp_path / "x.tar") == [f"{image} ({image_id(ONE)}) from the docker daemon"]
    assert server.requests == []
    by_daemon = read(tmp_path / "x.tar", tmp_path / "work")
    fetch(lock, image, tmp_path / "y.tar", source=Source.REGISTRY)
    by_registry = read(tmp_path / "y.tar", tmp_path / "work-y")
    assert (by_daemon.digest, by_daemon.size) == (by_registry.digest, by_registry.size)
    assert listed(by_daemon.tree) == listed(by_registry.tree)


def test_a_daemon_whose_ids_are_those_of_manifests(daemon: FakeDaemon, tmp_path: Path) -> None:
    image = parse("app:1")
    loaded(daemon, ONE, "app:1", Id=OTHER, Descriptor={"digest": OTHER})
    fetch(locked(tmp_path, image, ONE, None), "app:1", tmp_path / "x.tar")
    assert str(read(tmp_path / "x.tar", tmp_path / "work").digest) == image_id(ONE)
    with pytest.raises(EnclaverError, match=f"is pinned as {image_id(TWO)}, in no registry, and the docker daemon has"):
        fetch(locked(tmp_path, image, TWO, None), "app:1", tmp_path / "y.tar")


def test_a_daemon_that_has_another_by_now(daemon: FakeDaemon, tmp_path: Path) -> None:
    loaded(daemon, TWO, "app:1")
    lock = locked(tmp_path, parse("app:1"), ONE, None)
    with pytest.raises(EnclaverError) as caught:
        fetch(lock, "app:1", tmp_path / "x.tar")
    assert str(caught.value) == (
        f"{lock}: app:1 is pinned as {image_id(ONE)}, in no registry, and the docker daemon has {image_id(TWO)} "
        "there now\n"
        "  Build or load that image again, or pin the one there is: `enclaver lock images app:1`."
    )
    assert not (tmp_path / "x.tar").exists()


def test_a_daemon_that_drifted_is_no_matter_where_the_registry_has_it(
    daemon: FakeDaemon, server: FakeRegistry, tmp_path: Path
) -> None:
    image = published(server, ONE)
    loaded(daemon, TWO, str(image))
    fetch(locked(tmp_path, image, ONE, digest(ONE)), image, tmp_path / "x.tar")
    assert str(read(tmp_path / "x.tar", tmp_path / "work").digest) == image_id(ONE)


@pytest.mark.usefixtures("_no_daemon")
def test_an_image_that_was_only_in_a_daemon(tmp_path: Path) -> None:
    lock = locked(tmp_path, parse("app:1"), ONE, None)
    gone = (
        r"in no registry, and there is no docker daemon at unix://.*none: no such file.*\n  Start it, or name another"
    )
    with pytest.raises(EnclaverError, match=gone):
        fetch(lock, "app:1", tmp_path / "x.tar")
    unasked = r"in no registry, and the docker daemon was not asked\n  Let it be asked \(without --pull\), or push"
    with pytest.raises(EnclaverError, match=unasked):
        fetch(lock, "app:1", tmp_path / "x.tar", source=Source.REGISTRY)
    with pytest.raises(EnclaverError, match="^there is no docker daemon"):
        fetch(lock, "app:1", tmp_path / "x.tar", source=Source.DAEMON)


def test_the_daemon_alone(daemon: FakeDaemon, tmp_path: Path) -> None:
    lock = locked(tmp_path, parse("app:1"), ONE, OTHER)
    with pytest.raises(
        EnclaverError, match=f"in the registry as {OTHER}, which was not asked, and the docker daemon has no"
    ):
        fetch(lock, "app:1", tmp_path / "x.tar", source=Source.DAEMON)


@pytest.mark.usefixtures("_no_daemon")
def test_a_lock_that_says_two_things(server: FakeRegistry, tmp_path: Path) -> None:
    image = published(server, ONE)
    lock = locked(tmp_path, image, TWO, digest(ONE))
    with pytest.raises(EnclaverError, match="the lock is at odds with itself") as caught:
        fetch(lock, image, tmp_path / "x.tar")
    assert image_id(ONE) in str(caught.value)
    assert image_id(TWO) in str(caught.value)


@pytest.mark.usefixtures("_no_daemon")
def test_what_no_lock_pins(server: FakeRegistry, tmp_path: Path) -> None:
    image = published(server, ONE)
    lock = locked(tmp_path, image, ONE, digest(ONE))
    with pytest.raises(EnclaverError, match=r"enclave\.images\.lock: the lock does not pin app:latest for x86_64"):
        fetch(lock, "app", tmp_path / "x.tar")
    with pytest.raises(EnclaverError, match="pins .* for x86_64, not for aarch64"):
        fetch(lock, image, tmp_path / "x.tar", architecture="aarch64")
    with pytest.raises(EnclaverError, match="`App` is not a Docker reference"):
        fetch(lock, "App", tmp_path / "x.tar")


@pytest.mark.usefixtures("_no_daemon")
def test_a_registry_that_lost_a_layer(server: FakeRegistry, tmp_path: Path) -> None:
    image = published(server, ONE)
    del server.blobs[ONE.manifest()["layers"][1]["digest"]]
    lost = f"^{image}: the registry {server.host} answers 404[^;]*"
    with pytest.raises(EnclaverError, match=f"{lost}; there is no docker daemon at unix://"):
        fetch(locked(tmp_path, image, ONE, digest(ONE)), image, tmp_path / "x.tar")
    with pytest.raises(EnclaverError, match=lost) as caught:
        fetch(locked(tmp_path, image, ONE, digest(ONE)), image, tmp_path / "x.tar", source=Source.REGISTRY)
    assert "daemon" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["enclave.images.lock"]


@pytest.mark.usefixtures("_no_daemon")
def test_a_reference_with_a_digest_names_nothing(server: FakeRegistry, tmp_path: Path) -> None:
    published(server, ONE)
    image = parse(f"{server.host}/app@{digest(ONE)}")
    fetch(locked(tmp_path, image, ONE, digest(ONE)), image, tmp_path / "x.tar")
    assert b'"annotations"' not in (tmp_path / "x.tar").read_bytes()
    named = published(server, ONE)
    fetch(locked(tmp_path, named, ONE, digest(ONE)), named, tmp_path / "x.tar")
    assert json.dumps([str(named)]).encode() in (tmp_path / "x.tar").read_bytes()
