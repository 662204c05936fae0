"""The same sources give the same bytes in another checkout, under another environment; and what changes a PCR."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from enclaver.cli import main as enclaver
from tests.integration.spine import packaged

HERE = Path.cwd()
PARTS = ("pants", "pants.toml", "pyproject.toml", "BUILD", "3rdparty", "examples", "pants-plugins", "runtime")
ENDINGS = (".eif", ".pcrs.json", ".materials.json")


class Checkout:
    """Another checkout of this repository, with a home, caches and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a checkout with another name"
        self.folder.mkdir(parents=True)
        for part in PARTS:
            copy = shutil.copytree if (HERE / part).is_dir() else shutil.copy2
            copy(HERE / part, self.folder / part)
        home = folder / "home"
        home.mkdir(mode=0o700)
        user = Path(os.environ["HOME"])
        self._environment = {
            **{name: value for name, value in os.environ.items() if "CERT" in name or "PIP_" in name},
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            # Installed programs are no part of the build's state; its stores and caches are.
            "PYENV_ROOT": os.environ.get("PYENV_ROOT") or str(user / ".pyenv"),
            "PANTS_VENV_CACHE": os.environ.get("PANTS_VENV_CACHE")
            or str(Path(os.environ.get("XDG_CACHE_HOME") or user / ".cache") / "enclaver-pants"),
            "PANTS_LOCAL_STORE_DIR": str(folder / "store"),
            "PANTS_NAMED_CACHES_DIR": str(folder / "named-caches"),
            "PANTS_PANTSD": "false",
            "LANG": "tr_TR.UTF-8",
            "LC_ALL": "C",
            "TZ": "Pacific/Kiritimati",
            "PYTHONHASHSEED": "4711",
            "SOURCE_DATE_EPOCH": "1234567890",
        }

    def package(self, address: str = "examples/hello:enclave") -> Path:
        """Package an image and return its path."""
        done = subprocess.run(
            ["./pants", "package", address],
            cwd=self.folder,
            env=self._environment,
            umask=0o077,
            capture_output=True,
            text=True,
            check=False,
        )
        # What was said last comes first where a report is cut.
        assert done.returncode == 0, "\n".join(reversed((done.stdout + done.stderr).splitlines()))
        return self.folder / "dist" / "examples.hello" / "enclave.eif"

    def change(self, path: str, before: str, after: str) -> None:
        """Replace text in a file."""
        text = (self.folder / path).read_text()
        assert before in text
        (self.folder / path).write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = Checkout(tmp_path_factory.mktemp("other"))
    made.package()
    return made


def test_another_checkout_gives_the_same_bytes(checkout: Checkout) -> None:
    theirs = checkout.folder / "dist" / "examples.hello" / "enclave.eif"
    for ending in ENDINGS:
        assert theirs.with_suffix(ending).read_bytes() == packaged.HELLO.with_suffix(ending).read_bytes(), ending


def test_a_comment_changes_no_pcr(checkout: Checkout) -> None:
    before = packaged.pcrs(packaged.HELLO)
    checkout.change("examples/hello/enclaver.yaml", "version: v1\n", "# A comment.\nversion: v1\n")
    checkout.change("examples/hello/enclaver.yaml", "hello-enclave:latest", "another-tag:v2")
    assert packaged.pcrs(checkout.package()) == before


def test_an_egress_entry_changes_pcr0_and_pcr2_and_leaves_pcr1(checkout: Checkout) -> None:
    before = packaged.pcrs(packaged.HELLO)
    checkout.change("examples/hello/enclaver.yaml", "version: v1\n", "version: v1\negress:\n  allow: [example.com]\n")
    after = packaged.pcrs(checkout.package())
    assert {name for name in before if before[name] != after[name]} == {"PCR0", "PCR2"}


def test_an_aarch64_image_needs_an_aarch64_kernel_and_gets_its_own_base(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkout.folder / "examples" / "arm"
    folder.mkdir()
    shutil.copy2(checkout.folder / "examples/hello/enclaver.yaml", folder)
    # As much of a kernel as an image needs to know it by: the arm64 boot header's magic at offset 56.
    (folder / "Image").write_bytes(bytes(56) + b"ARM\x64" + bytes(4096))
    (folder / "cmdline").write_text("console=ttyS0 reboot=k panic=30")
    (folder / "BUILD").write_text(
        'enclave_kernel(name="kernel", sources=["Image", "cmdline"], architecture="aarch64")\n'
        'enclave_image(name="enclave", app="//examples/hello:server", kernel=":kernel", architecture="aarch64")\n'
    )
    checkout.package("examples/arm:enclave")
    eif = checkout.folder / "dist" / "examples.arm" / "enclave.eif"
    capsys.readouterr()
    assert enclaver.main(["describe", "--json", str(eif)]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["architecture"] == "aarch64"
    materials = json.loads(eif.with_suffix(".materials.json").read_bytes())
    paths = {entry["path"] for ramdisk in materials["ramdisks"] for entry in ramdisk["entries"]}
    assert "rootfs/usr/lib/aarch64-linux-gnu/libc.so.6" in paths
