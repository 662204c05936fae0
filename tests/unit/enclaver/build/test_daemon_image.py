from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enclaver.build import daemon_image
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest as digests
from enclaver.core.oci.reference import parse
from enclaver.system.daemon import Daemon, DaemonImage
from tests import fake_docker
from tests.fake_docker import FakeDaemon
from tests.unit.enclaver.build.published import ARM, ONE, TWO, image_id, loaded
from tests.unit.enclaver.core.oci.archives import archived, read, to_json

OTHER = "sha256:" + "7" * 64


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with fake_docker.serving() as found:
        monkeypatch.setenv("DOCKER_HOST", found.host)
        yield found


def test_an_image_is_saved_by_its_id(server: FakeDaemon, tmp_path: Path) -> None:
    daemon_image.save_image(loaded(server, ONE), tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_bytes() == archived(ONE.docker_save(()))
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]
    assert str(read((tmp_path / "x.tar").read_bytes(), tmp_path).digest) == image_id(ONE)


def test_an_image_of_the_other_architecture_too(server: FakeDaemon, tmp_path: Path) -> None:
    daemon_image.save_image(loaded(server, ARM, Architecture="arm64", Variant="v8"), tmp_path / "x.tar")
    assert (tmp_path / "x.tar").exists()


def test_an_id_may_be_as_short_as_old_builders_print_it(server: FakeDaemon, tmp_path: Path) -> None:
    short = image_id(ONE)[7:19]
    loaded(server, ONE, short)
    daemon_image.save_image(short, tmp_path / "x.tar")
    assert (tmp_path / "x.tar").exists()


def test_what_cannot_be_saved(server: FakeDaemon, tmp_path: Path) -> None:
    loaded(server, ONE, "app:1")
    with pytest.raises(EnclaverError, match="the docker daemon has no image app:1\n"):
        # A name is no id: it means another image tomorrow.
        daemon_image.save_image("app:1", tmp_path / "x.tar")
    with pytest.raises(EnclaverError, match=f"the docker daemon has no image {OTHER}\n  Build it, or load it."):
        daemon_image.save_image(OTHER, tmp_path / "x.tar")
    with pytest.raises(EnclaverError, match="the image is for linux/s390x, not for linux/amd64"):
        daemon_image.save_image(loaded(server, ONE, Architecture="s390x"), tmp_path / "x.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_saves_another(server: FakeDaemon, tmp_path: Path) -> None:
    found = server.add(archived(TWO.docker_save(())), to_json(ONE.config))
    with pytest.raises(
        EnclaverError, match=f"saves another image than was asked for: its id is {image_id(TWO)}, not {found}"
    ):
        daemon_image.save_image(found, tmp_path / "x.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_whose_ids_are_those_of_manifests(server: FakeDaemon, tmp_path: Path) -> None:
    loaded(server, ONE, "app:1", Id=OTHER, Descriptor={"digest": OTHER})
    daemon_image.save_image(OTHER, tmp_path / "x.tar")
    with Daemon() as daemon:
        found = daemon.find("app:1")
        assert found is not None
        assert str(daemon_image.image_id(daemon, found, "x86_64")) == image_id(ONE)


def test_a_reference_in_the_daemon(server: FakeDaemon) -> None:
    found = loaded(server, ONE, "app:latest", "h.io/a:1", f"app@{OTHER}")
    with Daemon() as daemon:
        for text in ("app", "docker.io/library/app:latest", "h.io/a:1", f"app@{OTHER}", f"app:any@{OTHER}"):
            image = daemon_image.find(daemon, parse(text))
            assert image is not None, text
            assert image.id == found
        assert daemon_image.find(daemon, parse("app:other")) is None


def image(*repo_digests: str, **platform: str) -> DaemonImage:
    names = {"os": "linux", "architecture": "amd64", "variant": "", **platform}
    return DaemonImage(OTHER, True, repo_digests, **names)


A, B = (f"sha256:{digit * 64}" for digit in "ab")


@pytest.mark.parametrize(
    ("known", "reference", "expected"),
    [
        ([], "app:1", None),
        ([f"app@{A}"], "app:1", A),
        ([f"h.io/app@{A}"], "app:1", None),
        (["<none>@<none>", f"app@{A}"], "app:1", A),
        ([f"h.io/app@{B}", f"h.io/app@{A}"], "h.io/app:1", A),
        ([f"h.io/app@{A}", f"h.io/app@{B}"], f"h.io/app@{B}", B),
    ],
)
def test_what_the_daemon_knows_of_registries(known: list[str], reference: str, expected: str | None) -> None:
    found = daemon_image.registry_digest(image(*known), parse(reference))
    assert found == (None if expected is None else digests.parse(expected))


def test_for_which_enclaves_it_is() -> None:
    assert daemon_image.runs_on(image(), "x86_64")
    assert not daemon_image.runs_on(image(), "aarch64")
    assert daemon_image.runs_on(image(architecture="arm64", variant="v8"), "aarch64")
    assert not daemon_image.runs_on(image(os="windows"), "x86_64")
