"""The trees of the locks that ship: what is left out of them must be missed by nothing that stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from enclaver.build import runner as runners
from enclaver.build.runner import Runner
from enclaver.core.debian import folder as debian_folder
from enclaver.core.rootfs import elf, elf_needs, lookup
from tests.integration.target.targets import LOCKS, Parts

pytestmark = pytest.mark.slow

LIBRARIES = ("/lib/{}-linux-gnu", "/lib", "/lib64")
ARCHITECTURES = {"runner.amd64": "x86_64", "runner.arm64": "aarch64", "runner-emulator.amd64": "x86_64"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts.fetched(tmp_path_factory.mktemp("parts"), *ARCHITECTURES)


def runner(parts: Parts, name: str) -> Runner:
    return Runner(parts.tree(name), parts.folder / "wheels", LOCKS / "runtime.lock", [parts.sources])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_program_finds_its_libraries(parts: Parts, name: str) -> None:
    architecture = ARCHITECTURES[name]
    tree = runners.base(runner(parts, name), architecture)
    programs = 0
    for entry in tree:
        if entry.content is None or elf.machine(entry.content.head(elf.HEADER_SIZE)) != architecture:
            continue
        programs += 1
        wanted = elf_needs.needs(entry.content)
        assert wanted is not None
        for library in wanted.libraries:
            places = [lookup.resolve(tree, f"{folder.format(architecture)}/{library}") for folder in LIBRARIES]
            assert any(places), f"{entry.path} wants {library}"
    assert programs > 100


def test_qemu_is_the_emulators_only(parts: Parts) -> None:
    found = {
        name: lookup.resolve(runners.base(runner(parts, name), architecture), "/usr/bin/qemu-system-x86_64") is not None
        for name, architecture in ARCHITECTURES.items()
    }
    assert found == {"runner.amd64": False, "runner.arm64": False, "runner-emulator.amd64": True}


def test_its_qemu_has_the_machine_and_its_firmware(parts: Parts, tmp_path: Path) -> None:
    root = tmp_path / "root"
    debian_folder.write(runners.base(runner(parts, "runner-emulator.amd64"), "x86_64"), root, owners=False)
    told = subprocess.run(
        ["chroot", root, "/usr/bin/qemu-system-x86_64", "-M", "help"], capture_output=True, text=True, check=True
    )
    assert "\nmicrovm " in told.stdout
    assert (root / "usr/share/qemu/bios-microvm.bin").exists()
