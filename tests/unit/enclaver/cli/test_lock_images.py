"""``enclaver lock images``: its arguments, its output, and no output on an error."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclaver.cli import lock_images
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci.reference import parse
from tests import fake_registry
from tests.fake_registry import FakeRegistry
from tests.unit.enclaver.build.published import ONE, TWO, digest, image_id, published, published_index


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A registry, no daemon, and the working folder an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with fake_registry.serving() as found:
        yield found


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    lock_images.configure(parser)
    return lock_images.run(parser.parse_args(arguments))


def manifest(path: str, app: object) -> str:
    Path(path).write_text(f"version: v1\nname: x\ntarget: x:1\nsources:\n  app: '{app}'\n")
    return path


def test_a_reference_is_pinned(server: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    image = published(server, ONE)
    assert run(str(image)) == 0
    found = lock_format.load(Path("enclave.images.lock")).get(image, "x86_64", file="x")
    assert (str(found.digest), str(found.image_id)) == (digest(ONE), image_id(ONE))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        f"{image} x86_64: {image_id(ONE)} (in the registry {digest(ONE)})",
        "enclave.images.lock: 1 images",
    ]


def test_the_manifest_in_the_working_folder(server: FakeRegistry) -> None:
    image = published(server, ONE)
    manifest("enclaver.yaml", image)
    assert run("-o", "x.lock") == 0
    assert list(lock_format.load(Path("x.lock")).images) == [str(image)]


def test_several_and_what_else_is_there_stays(server: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    image, other = published(server, ONE), published(server, TWO, "other")
    both, _ = published_index(server)
    assert run(str(other)) == 0
    published(server, ONE)
    files = ["-f", manifest("a.yaml", image), "-f", manifest("b.yaml", "//some:target")]
    assert run(*files, str(both), "--architecture", "x86_64", "--source", "registry") == 0
    lock = lock_format.load(Path("enclave.images.lock"))
    assert set(lock.images) == {str(image), str(other), str(both)}
    assert run(str(both), "--architecture", "x86_64", "--architecture", "aarch64") == 0
    assert lock_format.load(Path("enclave.images.lock")).find(both, "aarch64") is not None
    published(server, TWO)
    capsys.readouterr()
    assert run(str(image)) == 0
    assert f"{image_id(ONE)} (in the registry {digest(ONE)}) is now {image_id(TWO)}" in capsys.readouterr().err


def test_an_app_that_is_a_target_needs_no_lock(server: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    manifest("enclaver.yaml", "//some:target")
    assert run() == 0
    assert capsys.readouterr().err == "enclaver.yaml: the app is a target, which needs no lock\n"
    assert not Path("enclave.images.lock").exists()


def test_an_error_leaves_the_old_lock(server: FakeRegistry) -> None:
    image = published(server, ONE)
    run(str(image))
    before = Path("enclave.images.lock").read_bytes()
    published(server, TWO)
    with pytest.raises(EnclaverError, match="answers 404"):
        run(str(image), f"{server.host}/app:gone")
    assert Path("enclave.images.lock").read_bytes() == before
    Path("enclave.images.lock").write_text("{}")
    with pytest.raises(EnclaverError, match=r"enclave\.images\.lock: the key 'version' is missing"):
        run(str(image))
    with pytest.raises(EnclaverError, match="is not a Docker reference"):
        run("App")


def test_plain_http_has_to_be_allowed(server: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is this machine's, and that nobody knows to be."""
    real = "enclaver.system.registry_http.is_local"
    monkeypatch.setattr(real, lambda host: False)
    image = published(server, ONE)
    with pytest.raises(EnclaverError, match="can't be spoken with by TLS|can't be asked"):
        lock_images_quickly(monkeypatch, str(image))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert run(str(image), "--insecure-registry", server.host) == 0


def lock_images_quickly(monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    monkeypatch.setattr("enclaver.system.registry_session.TIMEOUT", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr("time.sleep", lambda _: None)
        run(image)


@pytest.mark.parametrize("option", ["--architecture=amd64", "--source=cloud", "--archi=x86_64x"])
def test_wrong_arguments(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(option)
    assert "usage" in capsys.readouterr().err


def test_it_says_where_it_belongs() -> None:
    assert lock_images.NAME == "images"
    assert str(parse("app")) == "docker.io/library/app:latest"
