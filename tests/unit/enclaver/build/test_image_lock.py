from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import image_lock
from enclaver.build.image_lock import Source
from enclaver.build.registries import Registries
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci.image_lock import ImageLock
from enclaver.core.oci.reference import Reference, parse
from tests.fake_docker import FakeDaemon
from tests.fake_registry import FakeRegistry
from tests.unit.enclaver.build.published import ARM, ONE, TWO, digest, image_id, loaded, published, published_index


def update(*images: Reference, told: list[str] | None = None, **options: Any) -> ImageLock:
    defaults: dict[str, Any] = {"existing": None, "architectures": ["x86_64"]}
    with Registries() as registries:
        lines: list[str] = [] if told is None else told
        return image_lock.update(**{**defaults, **options}, images=images, registries=registries, progress=lines.append)


def meaning(lock: ImageLock, image: Reference, architecture: str = "x86_64") -> tuple[str | None, str]:
    found = lock.get(image, architecture, file="x")
    return str(found.digest) if found.digest else None, str(found.image_id)


@pytest.mark.usefixtures("_no_daemon")
def test_a_registry_without_a_daemon(server: FakeRegistry) -> None:
    image = published(server, ONE)
    assert meaning(update(image), image) == (digest(ONE), image_id(ONE))


@pytest.mark.usefixtures("_no_daemon")
@pytest.mark.parametrize("pinned", [True, False])
def test_each_platform_of_an_index(server: FakeRegistry, pinned: bool) -> None:
    image, index = published_index(server)
    if pinned:
        image = parse(f"{server.host}/app@{index}")
    lock = update(image, architectures=["x86_64", "aarch64"])
    assert meaning(lock, image) == (digest(ONE), image_id(ONE))
    assert meaning(lock, image, "aarch64") == (digest(ARM), image_id(ARM))
    # One moment's: the tag was asked for once.
    assert server.asks().count("HEAD /v2/app/manifests/both") == (0 if pinned else 1)


def test_the_daemon_goes_first(daemon: FakeDaemon, server: FakeRegistry) -> None:
    image = published(server, ONE)
    loaded(daemon, TWO, str(image))
    assert meaning(update(image), image) == (None, image_id(TWO))
    assert server.requests == []
    assert meaning(update(image, source=Source.REGISTRY), image) == (digest(ONE), image_id(ONE))


def test_what_the_daemon_knows_of_the_registry_is_kept(daemon: FakeDaemon, server: FakeRegistry) -> None:
    image = published(server, ONE)
    loaded(daemon, ONE, str(image), digests=[f"{image.name}@{digest(ONE)}"])
    assert meaning(update(image), image) == (digest(ONE), image_id(ONE))


def test_the_daemon_has_one_architecture_and_the_registry_the_other(daemon: FakeDaemon, server: FakeRegistry) -> None:
    image, _ = published_index(server)
    loaded(daemon, TWO, str(image))
    lock = update(image, architectures=["x86_64", "aarch64"])
    assert meaning(lock, image) == (None, image_id(TWO))
    assert meaning(lock, image, "aarch64") == (digest(ARM), image_id(ARM))


def test_the_daemon_alone(daemon: FakeDaemon, server: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    image = published(server, ONE)
    with pytest.raises(EnclaverError, match=f"the docker daemon has no {image.familiar} for x86_64\n"):
        update(image, source=Source.DAEMON)
    monkeypatch.setenv("DOCKER_HOST", "unix:///none")
    with pytest.raises(EnclaverError, match="there is no docker daemon at unix:///none"):
        update(image, source=Source.DAEMON)
    assert server.requests == []


@pytest.mark.usefixtures("_no_daemon")
def test_an_image_that_is_nowhere(server: FakeRegistry) -> None:
    image = parse(f"{server.host}/app:gone")
    answer = f"^{image.familiar}: the registry {server.host} answers 404[^;]*"
    with pytest.raises(EnclaverError, match=f"{answer}; there is no docker daemon at unix://.*: no such file"):
        update(image)
    with pytest.raises(EnclaverError, match=answer) as caught:
        update(image, source=Source.REGISTRY)
    assert "daemon" not in str(caught.value)
    published(server, ONE)
    with pytest.raises(EnclaverError, match="the image is for linux/amd64, not for linux/arm64"):
        update(parse(f"{server.host}/app:1"), architectures=["aarch64"])


def test_an_image_that_the_daemon_has_not_either(daemon: FakeDaemon, server: FakeRegistry) -> None:
    image = parse(f"{server.host}/app:gone")
    with pytest.raises(EnclaverError, match="answers 404[^;]*; the docker daemon has none for x86_64"):
        update(image)


@pytest.mark.usefixtures("_no_daemon")
def test_a_tag_that_moved(server: FakeRegistry, tmp_path: Path) -> None:
    image, other = published(server, ONE), published(server, TWO, "other")
    path = tmp_path / "x.lock"
    path.write_bytes(lock_format.render(update(image, other)))
    published(server, TWO)
    told: list[str] = []
    kept = update(image, other, existing=path, upgrade=False, told=told)
    assert (meaning(kept, image), told) == ((digest(ONE), image_id(ONE)), [])
    moved = update(image, existing=path, told=told)
    assert meaning(moved, image) == (digest(TWO), image_id(TWO))
    assert meaning(moved, other) == (digest(TWO), image_id(TWO))
    assert told == [
        f"{image} x86_64: {image_id(ONE)} (in the registry {digest(ONE)}) is now "
        f"{image_id(TWO)} (in the registry {digest(TWO)})"
    ]


@pytest.mark.usefixtures("_no_daemon")
def test_what_is_new_is_added_and_what_is_old_stays_the_same(server: FakeRegistry, tmp_path: Path) -> None:
    image, other = published(server, ONE), published(server, TWO, "other")
    path = tmp_path / "x.lock"
    path.write_bytes(lock_format.render(update(image)))
    server.requests.clear()
    told: list[str] = []
    assert update(image, other, existing=path, upgrade=False, told=told) == update(image, other)
    assert told == [f"{other} x86_64: {image_id(TWO)} (in the registry {digest(TWO)})"]
    assert update(image, existing=path, told=told) == update(image)
    assert told[-1].endswith(", as it was")


@pytest.mark.parametrize("also", [None, "sha256:" + "7" * 64])
def test_an_image_that_the_daemon_has_meanwhile_keeps_its_digest(
    daemon: FakeDaemon, server: FakeRegistry, tmp_path: Path, also: str | None
) -> None:
    image = published(server, ONE)
    path = tmp_path / "x.lock"
    path.write_bytes(lock_format.render(update(image, source=Source.REGISTRY)))
    loaded(daemon, ONE, str(image), digests=[f"{image.name}@{also}"] if also else [])
    assert meaning(update(image, existing=path), image) == (digest(ONE), image_id(ONE))


@pytest.mark.usefixtures("_no_daemon")
def test_the_architectures_are_those_that_are_pinned(server: FakeRegistry, tmp_path: Path) -> None:
    image, _ = published_index(server)
    path = tmp_path / "x.lock"
    path.write_bytes(lock_format.render(update(image, architectures=["aarch64"])))
    assert list(update(image, existing=path, architectures=[]).images[str(image)]) == ["aarch64"]
    assert list(update(image, architectures=[]).images[str(image)]) == ["x86_64"]


def test_nothing_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "none")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert update() == ImageLock()


def _with(app: str) -> str:
    return f"version: v1\nname: x\ntarget: x:1\nsources:\n  app: {app!r}\n"


def names(found: Sequence[Reference]) -> list[str]:
    return [image.familiar for image in found]


def test_the_images_of_manifests(tmp_path: Path) -> None:
    texts = {"a": "z.io/app:1", "b": "//path:app", "c": "app", "d": "docker.io/library/app:latest"}
    paths = [tmp_path / name for name in texts]
    for path, app in zip(paths, texts.values(), strict=True):
        path.write_text(_with(app))
    assert names(image_lock.referred_to(paths)) == ["app:latest", "z.io/app:1"]
    with pytest.raises(EnclaverError, match="the manifest cannot be read"):
        image_lock.referred_to([tmp_path / "gone"])
