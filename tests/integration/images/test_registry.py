"""Images by reference, from and to the real registry; skopeo has the second opinion."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from enclaver.build import image_fetch, image_lock, image_push
from enclaver.build.image_lock import Source
from enclaver.build.registries import Registries
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image as images
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci.reference import Reference, parse
from tests.integration.container_tools import PASSWORD, USER, Registry, registry
from tests.integration.images import token_server
from tests.integration.images.unpacked import ours
from tests.integration.tools import require
from tests.unit.enclaver.core.oci.archives import (
    AMD64,
    ARM64,
    INDEX,
    MANIFEST,
    Parts,
    descriptor,
    member,
    parts,
    sha256,
    symlink,
    tar,
    to_json,
)
from tests.unit.enclaver.core.oci.test_archive import written

ROOT = tar(member("bin/server", b"#!" * 400_000, mode=0o755), symlink("sh", "bin/server"))
ONE = parts(ROOT, tar(member("etc/config", b"one")), how="+gzip", Cmd=["/bin/server"])
TWO = parts(ROOT, tar(member("etc/config", b"two")), how="+gzip", Cmd=["/bin/server"])
ARM = parts(tar(member("arm", b"arm")), how="+zstd", platform=ARM64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration: nobody is logged in anywhere, and there is no daemon."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/none")
    return folder


def push(place: Path, one: Parts, *names: str) -> str:
    (place / "pushed.tar").write_bytes(written(one))
    with Registries() as registries:
        found = image_push.push(
            place / "pushed.tar", [parse(name) for name in names], registries=registries, progress=lambda _: None
        )
    return str(found)


def lock(place: Path, image: Reference, architectures: Sequence[str] = ("x86_64",)) -> Path:
    with Registries() as registries:
        found = image_lock.update(
            existing=None,
            images=[image],
            architectures=architectures,
            registries=registries,
            source=Source.REGISTRY,
            progress=lambda _: None,
        )
    path = place / "enclave.images.lock"
    path.write_bytes(lock_format.render(found))
    return path


def fetch(path: Path, image: Reference, output: Path, architecture: str = "x86_64") -> images.Image:
    with Registries() as registries:
        image_fetch.fetch(
            lock=path,
            image=str(image),
            architecture=architecture,
            output=output,
            cache=output.parent / "cache",
            registries=registries,
            progress=lambda _: None,
        )
    work = output.parent / f"work-{output.name}"
    work.mkdir()
    return images.read(output, work, architecture=architecture)


def skopeo(*arguments: str | Path) -> str:
    done = subprocess.run([require("skopeo"), "--insecure-policy", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_push_pull_push_keeps_the_digest(server: Registry, tmp_path: Path) -> None:
    first = parse(f"{server.host}/team/app:1")
    digest = push(tmp_path, ONE, str(first))
    assert digest == sha256(to_json(ONE.manifest()))
    found = fetch(lock(tmp_path, first), first, tmp_path / "pulled.tar")
    assert str(found.digest) == sha256(to_json(ONE.config))
    with Registries() as registries:
        again = image_push.push(
            tmp_path / "pulled.tar",
            [parse(f"{server.host}/other/place:2")],
            registries=registries,
            progress=lambda _: None,
        )
    assert str(again) == digest
    for name in (str(first), f"{server.host}/other/place:2"):
        told = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
        assert told["Digest"] == digest


def test_skopeo_takes_what_was_fetched(server: Registry, tmp_path: Path) -> None:
    image = parse(f"{server.host}/skopeo/takes:1")
    digest = push(tmp_path, ONE, str(image))
    tree = ours(fetch(lock(tmp_path, image), image, tmp_path / "x.tar").tree)
    assert json.loads(skopeo("inspect", f"oci-archive:{tmp_path}/x.tar"))["Digest"] == digest
    skopeo("copy", f"oci-archive:{tmp_path}/x.tar", f"oci:{tmp_path}/layout:x")
    (tmp_path / "work").mkdir()
    assert ours(images.read(tmp_path / "layout", tmp_path / "work", architecture="x86_64").tree) == tree


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_what_skopeo_pushed_is_fetched(server: Registry, tmp_path: Path, form: str) -> None:
    image = parse(f"{server.host}/skopeo/made:{form}")
    (tmp_path / "made.tar").write_bytes(written(ONE))
    skopeo("copy", "--dest-tls-verify=false", "--format", form, f"oci-archive:{tmp_path}/made.tar", f"docker://{image}")
    digest = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{image}"))["Digest"]
    path = lock(tmp_path, image)
    locked = lock_format.load(path).get(image, "x86_64", file="x")
    assert str(locked.digest) == digest
    found = fetch(path, image, tmp_path / "x.tar")
    assert found.digest == locked.image_id
    (tmp_path / "work").mkdir()
    assert ours(found.tree) == ours(images.read(tmp_path / "made.tar", tmp_path / "work", architecture="x86_64").tree)
    assert json.loads(skopeo("inspect", f"oci-archive:{tmp_path}/x.tar"))["Digest"] == digest


def test_an_index_of_two_platforms(server: Registry, tmp_path: Path) -> None:
    image = parse(f"{server.host}/team/both:1")
    for one, tag in ((ONE, "amd64"), (ARM, "arm64")):
        push(tmp_path, one, f"{image.name}:{tag}")
    manifests = [
        descriptor(to_json(one.manifest()), MANIFEST, platform=platform)
        for one, platform in ((ONE, AMD64), (ARM, ARM64))
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    with Registries() as registries:
        digest = registries.of(image).push_manifest(image.repository, "1", to_json(index), INDEX)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{image}")
    assert sha256(raw.encode()) == digest
    for reference in (image, parse(f"{image.name}@{digest}")):
        path = lock(tmp_path, reference, ["x86_64", "aarch64"])
        for architecture, one in (("x86_64", ONE), ("aarch64", ARM)):
            locked = lock_format.load(path).get(reference, architecture, file="x")
            assert (str(locked.digest), str(locked.image_id)) == (
                sha256(to_json(one.manifest())),
                sha256(to_json(one.config)),
            )
            output = tmp_path / f"{architecture}-{reference.tag}.tar"
            assert fetch(path, reference, output, architecture).digest == locked.image_id


def test_a_tag_that_moves_changes_nothing_that_is_locked(server: Registry, tmp_path: Path) -> None:
    image = parse(f"{server.host}/team/moving:1")
    push(tmp_path, ONE, str(image))
    path = lock(tmp_path, image)
    before = fetch(path, image, tmp_path / "before.tar")
    push(tmp_path, TWO, str(image))
    after = fetch(path, image, tmp_path / "after.tar")
    assert (tmp_path / "before.tar").read_bytes() == (tmp_path / "after.tar").read_bytes()
    assert before.digest == after.digest
    assert fetch(lock(tmp_path, image), image, tmp_path / "anew.tar").digest != before.digest


def test_what_the_registry_has_not(server: Registry, tmp_path: Path) -> None:
    image = parse(f"{server.host}/team/none:1")
    with pytest.raises(EnclaverError, match=f"^{image}: the registry {server.host} answers 404"):
        lock(tmp_path, image)
    push(tmp_path, ONE, str(image))
    path = lock(tmp_path, image)
    path.write_text(path.read_text().replace(sha256(to_json(ONE.manifest())), sha256(b"gone")))
    with pytest.raises(EnclaverError, match=f"the registry {server.host} has no {sha256(b'gone')} in team/none"):
        fetch(path, image, tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("asking"), password=True) as found:
        yield found


def logged_in(folder: Path, host: str, password: str = PASSWORD) -> None:
    entry = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": entry}}}))


def helped(folder: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential helper on PATH, as the only one who knows."""
    program = folder / "docker-credential-tests"
    answer = json.dumps({"ServerURL": host, "Username": USER, "Secret": PASSWORD})
    program.write_text(f"#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get {host}' ] && echo '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "config.json").write_text(json.dumps({"credHelpers": {host: "tests"}}))


def test_a_password(asking: Registry, tmp_path: Path, docker_config: Path) -> None:
    image = parse(f"{asking.host}/team/app:1")
    logged_in(docker_config, asking.host)
    digest = push(tmp_path, ONE, str(image))
    fetch(lock(tmp_path, image), image, tmp_path / "x.tar")
    told = skopeo("inspect", "--tls-verify=false", "--creds", f"{USER}:{PASSWORD}", f"docker://{image}")
    assert json.loads(told)["Digest"] == digest


def test_a_credential_helper_on_path(
    asking: Registry, tmp_path: Path, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = parse(f"{asking.host}/team/helped:1")
    helped(docker_config, asking.host, monkeypatch)
    push(tmp_path, TWO, str(image))
    assert str(fetch(lock(tmp_path, image), image, tmp_path / "x.tar").digest) == sha256(to_json(TWO.config))


@pytest.mark.parametrize(
    ("password", "message"), [(None, "asks for a login"), ("wrong battery", "does not take the login")]
)
def test_who_may_not(asking: Registry, tmp_path: Path, docker_config: Path, password: str | None, message: str) -> None:
    if password:
        logged_in(docker_config, asking.host, password)
    image = parse(f"{asking.host}/team/app:1")
    calls: list[Callable[[], object]] = [lambda: lock(tmp_path, image), lambda: push(tmp_path, ONE, str(image))]
    for call in calls:
        with pytest.raises(EnclaverError, match=f"the registry {asking.host} {message}") as caught:
            call()
        assert f"`docker login {asking.host}`" in str(caught.value)
        assert "wrong battery" not in str(caught.value)


def test_tokens(tmp_path: Path, docker_config: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    with (
        token_server.serving({USER: PASSWORD}) as tokens,
        registry(folder, settings=tokens.settings(folder)) as server,
    ):
        image = parse(f"{server.host}/team/app:1")
        with pytest.raises(EnclaverError, match=f"the registry {server.host} asks for a login"):
            push(tmp_path, ONE, str(image))
        logged_in(docker_config, server.host)
        digest = push(tmp_path, ONE, str(image))
        (docker_config / "config.json").unlink()
        tokens.scopes.clear()
        path = lock(tmp_path, image)
        fetch(path, image, tmp_path / "x.tar")
        # Anybody may pull; each session asks once.
        assert tokens.scopes == [("", "repository:team/app:pull")] * 2
        assert str(lock_format.load(path).get(image, "x86_64", file="x").digest) == digest
        logged_in(docker_config, server.host, "wrong battery")
        with pytest.raises(EnclaverError, match="does not take the login"):
            lock(tmp_path, image)


def test_a_token_that_runs_out(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    with (
        token_server.serving({USER: PASSWORD}) as tokens,
        registry(folder, settings=tokens.settings(folder)) as server,
        Registries() as registries,
    ):
        image = parse(f"{server.host}/team/app:1")
        accept = [MANIFEST]
        # The registry allows for clocks that differ by a minute.
        tokens.seconds = -50
        for _ in range(2):
            with pytest.raises(EnclaverError, match="answers 404"):
                registries.of(image).manifest("team/app", "1", accept=accept)
        assert len(tokens.scopes) == 1
        tokens.seconds = -120
        with pytest.raises(EnclaverError, match="asks for a login"):
            registries.of(parse(f"{server.host}/team/other:1")).manifest("team/other", "1", accept=accept)
        assert len(tokens.scopes) == 3
