"""Target images as `package` writes them, and the programs that the options put into them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from enclaver.core.oci import image
from enclaver.core.rootfs.tree import Tree
from tests.integration.tools import require
from tests.rules.repository import Repository

pytestmark = pytest.mark.slow
SCRIPT = "//files:script"


def tree(repository: Repository, folder: str, work: Path) -> Tree:
    """Return the files of a packaged target image."""
    work.mkdir()
    archive = repository.root / "dist" / folder / "enclave.image.tar"
    return image.read(archive, work, architecture="x86_64").tree


def test_an_image_without_a_target_has_no_target_image(repository: Repository) -> None:
    repository.image("untargeted", 'enclave_image(name="enclave", emulator=True)', app=SCRIPT)
    manifest = (repository.root / "untargeted" / "enclaver.yaml").read_text()
    repository.write("untargeted/enclaver.yaml", manifest.replace("target: untargeted:1\n", ""))
    done = repository.succeeds("package", "untargeted:enclave")
    assert "`emulator` is for the target image, and untargeted/enclaver.yaml names no `target`" in done.stderr
    made = sorted(path.name for path in (repository.root / "dist" / "untargeted").iterdir())
    assert made == ["enclave.eif", "enclave.materials.json", "enclave.pcrs.json"]


def test_an_image_that_starts_no_enclave_says_so(repository: Repository) -> None:
    repository.image("idle", 'enclave_image(name="enclave")', app=SCRIPT)
    done = repository.succeeds("package", "idle:enclave")
    assert "idle:enclave: there is neither nitro-cli nor QEMU in its target image" in done.stderr


def test_what_runs_the_enclave_is_in_the_target_image(repository: Repository, tmp_path: Path) -> None:
    """nitro-cli and vhost-device-vsock are the real ones: what they are linked against has to be in the image."""
    folder = repository.root / "programs"
    folder.mkdir()
    for name in ("nitro-cli", "vhost-device-vsock"):
        shutil.copy(require(name), folder / name)
    repository.write(
        "programs/BUILD",
        'file(name="nitro-cli", source="nitro-cli")\nfile(name="vhost", source="vhost-device-vsock")\n'
        'files(name="both", sources=["nitro-cli", "vhost-device-vsock"])\n',
    )
    repository.image("runs", 'enclave_image(name="enclave", emulator=True)', app=SCRIPT)
    options = (
        '--enclaver-nitro-cli={"x86_64": "//programs:nitro-cli"}',
        "--enclaver-vhost-device-vsock=//programs:vhost",
    )
    repository.succeeds(*options, "package", "runs:enclave")
    eif = (repository.root / "dist" / "runs" / "enclave.eif").read_bytes()
    files = tree(repository, "runs", tmp_path / "one")
    for path in ("nitro-cli", "vhost-device-vsock", "qemu-system-x86_64", "enclaver"):
        assert f"usr/bin/{path}" in files
    found = files.get("enclave/application.eif")
    assert found is not None
    assert b"".join(bytes(chunk) for chunk in files.content(found).chunks()) == eif

    listed = repository.succeeds(*options, "dependencies", "runs:enclave").stdout.split()
    assert {"programs:nitro-cli", "programs:vhost"} <= set(listed)

    first = (repository.root / "dist" / "runs" / "enclave.image.tar").read_bytes()
    repository.succeeds(*options, "--no-pantsd", "--no-local-cache", "package", "runs:enclave")
    assert (repository.root / "dist" / "runs" / "enclave.image.tar").read_bytes() == first

    done = repository.pants(*options[:1], "--enclaver-vhost-device-vsock=//programs:both", "package", "runs:enclave")
    assert done.returncode == 1
    assert "`[enclaver].vhost_device_vsock`: //programs:both is 2 files, and a program is one" in done.stderr
