"""Apps that are container images of a daemon and of a registry, and target images on their way out; both are real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from enclaver.cli import main as enclaver
from enclaver.core.oci import image_lock, layout
from enclaver.core.oci.files import opened
from tests.integration.container_tools import DockerDaemon, Registry, docker_daemon, registry
from tests.integration.tools import require
from tests.rules.repository import Repository

pytestmark = pytest.mark.slow
BUSYBOX = Path("/bin/busybox")
IMAGE = 'enclave_image(name="enclave")'
DOCKERFILE = 'FROM scratch\nCOPY {copied} /bin/\nWORKDIR /srv\nENTRYPOINT ["/bin/busybox", "echo", "{says}"]\n'


@dataclass(frozen=True, slots=True)
class Shop:
    """A repository, with a daemon and a registry that its images come from and go to."""

    repository: Repository
    daemon: DockerDaemon
    registry: Registry
    environment: dict[str, str]

    def pants(self, *arguments: str) -> str:
        return self.repository.succeeds(*arguments, environment=self.environment).stderr

    def push(self, name: str, says: str, folder: Path) -> str:
        """Build an image and push it to the registry; return its id."""
        folder.mkdir()
        shutil.copy(BUSYBOX, folder)
        (folder / "Dockerfile").write_text(DOCKERFILE.format(copied="busybox", says=says))
        image_id = self.daemon.build(f"{self.registry.host}/{name}", folder)
        self.daemon.docker("push", "--quiet", f"{self.registry.host}/{name}")
        return image_id

    def forget(self) -> None:
        """Let the daemon have no images."""
        if images := self.daemon.docker("image", "ls", "--quiet").split():
            self.daemon.docker("image", "rm", "--force", *sorted(set(images)))


@pytest.fixture(scope="module")
def shop(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    require("busybox")
    with docker_daemon() as daemon, registry(tmp_path_factory.mktemp("registry")) as started:
        names = ("DOCKER_BUILDKIT", "DOCKER_CONFIG", "DOCKER_HOST")
        yield Shop(repository, daemon, started, {name: daemon.environment[name] for name in names})


def image_id(shop: Shop, folder: str) -> str:
    """Return what a packaged image says that its app was."""
    [found] = [one for one in shop.repository.materials(folder)["inputs"] if one["kind"] == "image"]
    return str(found["sha256"])


def test_an_image_that_is_built_here_is_known_by_its_tag_and_by_its_address(shop: Shop) -> None:
    repository = shop.repository
    repository.write("built/busybox", BUSYBOX.read_bytes(), mode=0o755)
    copied = 'file(name="busybox", source="busybox")\n'
    repository.write("built/Dockerfile", DOCKERFILE.format(copied="built/busybox", says="hello"))
    repository.image(
        "built",
        copied + 'docker_image(name="app", repository="shop", image_tags=["1"], dependencies=[":busybox"])\n' + IMAGE,
        app="shop:1",
    )
    repository.image("addressed", 'enclave_image(name="enclave", app="//built:app")', app="unused:1")
    shop.pants("package", "built:enclave", "addressed:enclave")
    assert f"sha256:{image_id(shop, 'built')}" == shop.daemon.docker(
        "image", "inspect", "--format", "{{.Id}}", "shop:1"
    )
    assert repository.pcrs("built") == repository.pcrs("addressed")
    assert repository.obeyed("built")["app"]["argv"] == ["/bin/busybox", "echo", "hello"]
    listed = repository.succeeds("dependencies", "built:enclave", environment=shop.environment).stdout
    assert "built:app" in listed.split()


def test_an_image_of_a_registry_is_built_as_it_was_pinned(shop: Shop, tmp_path: Path) -> None:
    repository = shop.repository
    first = shop.push("shop:2", "first", tmp_path / "first")
    repository.image("pinned", IMAGE, app=f"{shop.registry.host}/shop:2")
    said = repository.refused("pinned:enclave", environment=shop.environment)
    assert "pinned/enclave.images.lock does not pin it" in said
    assert "enclave-lock pinned:enclave" in said

    shop.forget()
    shop.pants("enclave-lock", "pinned:enclave")
    lock = image_lock.load(repository.root / "pinned" / "enclave.images.lock")
    [meaning] = lock.images.values()
    assert str(meaning["x86_64"].image_id) == first
    shop.pants("package", "pinned:enclave")
    registers = repository.pcrs("pinned")
    assert f"sha256:{image_id(shop, 'pinned')}" == first

    # Without Pants it is the same.
    assert without_pants(shop, "pinned", tmp_path) == registers

    # The tag moves, and what is built does not.
    second = shop.push("shop:2", "second", tmp_path / "second")
    shop.pants("--no-pantsd", "--no-local-cache", "package", "pinned:enclave")
    assert repository.pcrs("pinned") == registers
    shop.pants("enclave-lock", "pinned:enclave")
    assert image_lock.load(repository.root / "pinned" / "enclave.images.lock") == lock
    shop.pants("enclave-lock", "--upgrade", "pinned:enclave")
    shop.pants("package", "pinned:enclave")
    assert f"sha256:{image_id(shop, 'pinned')}" == second
    assert repository.pcrs("pinned")["PCR2"] != registers["PCR2"]
    assert repository.pcrs("pinned")["PCR1"] == registers["PCR1"]


def without_pants(shop: Shop, folder: str, work: Path) -> dict[str, str]:
    """Build what `package` has built by `enclaver build`; return the PCRs."""
    kernel = work / "kernel"
    kernel.mkdir()
    for name in ("bzImage", "cmdline"):
        shutil.copy(shop.repository.root / name, kernel)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PEX_", "__PEX_"))}
    done = subprocess.run(
        [
            *(
                sys.executable,
                str(enclaver.__file__),
                "build",
                "--file",
                str(shop.repository.root / folder / "enclaver.yaml"),
            ),
            *("--eif-only", "out.eif", "--kernel", str(kernel), "--cache", str(work / "cache")),
        ],
        cwd=work,
        env={**inherited, **shop.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    measurements = json.loads(done.stdout)["Measurements"]
    whole = [(work / "out").with_suffix(f".{kind}.json") for kind in ("pcrs", "materials")]
    packaged = [shop.repository.root / "dist" / folder / f"enclave.{kind}.json" for kind in ("pcrs", "materials")]
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in packaged]
    return {name: value for name, value in measurements.items() if name.startswith("PCR")}


def test_the_target_image_goes_to_its_registry_as_it_is(shop: Shop, tmp_path: Path) -> None:
    repository = shop.repository
    repository.image("out", 'enclave_image(name="enclave", app="//files:binary", image_tags=["latest", "1"])')
    text = (repository.root / "out" / "enclaver.yaml").read_text()
    name = f"{shop.registry.host}/out"
    repository.write("out/enclaver.yaml", text.replace("target: out:1", f"target: {name}:1"))
    said = shop.pants("publish", "out:enclave")
    assert f"{name}:1" in said
    shop.pants("package", "out:enclave")
    with opened(repository.root / "dist" / "out" / "enclave.image.tar", tmp_path) as files:
        digests = {str(layout.only_manifest(files).digest)}
    for tag in ("1", "latest"):
        done = subprocess.run(
            [require("skopeo"), "inspect", "--tls-verify=false", f"docker://{name}:{tag}"],
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(json.loads(done.stdout)["Digest"])
    assert len(digests) == 1
    assert json.loads(done.stdout)["Labels"]["io.enclaver.pcr0"] == repository.pcrs("out")["PCR0"]


def test_images_of_one_manifest_would_be_published_as_one(shop: Shop) -> None:
    repository = shop.repository
    image = 'enclave_image(name="{name}", app="//files:binary", skip_push={skip})\n'
    names = {"enclave": False, "other": False, "kept": True}
    repository.image("twins", "".join(image.format(name=name, skip=skip) for name, skip in names.items()))
    text = (repository.root / "twins" / "enclaver.yaml").read_text()
    name = f"{shop.registry.host}/twins:1"
    repository.write("twins/enclaver.yaml", text.replace("target: twins:1", f"target: {name}"))
    assert f"twins:enclave: twins:other would be published as {name} too" in shop.pants("publish", "twins:enclave")


def test_what_is_not_to_be_published_is_not(shop: Shop) -> None:
    shop.repository.image("kept", 'enclave_image(name="enclave", app="//files:binary", skip_push=True)')
    assert "skipped (by `skip_push` on kept:enclave)" in shop.pants("publish", "kept:enclave")
