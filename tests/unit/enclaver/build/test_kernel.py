"""The kernel's stage on a toolchain and a source of a few bytes; the sandbox is a fake, the rest is real."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from enclaver.build import kernel
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import files
from enclaver.core.kernel.source_lock import SourceLock, render
from enclaver.system.namespaces import NamespacesForbiddenError
from tests import fake_debian
from tests.fake_debian import Member

SOURCE = fake_debian.deb([Member("./usr/src/linux-source-6.12.tar.xz", b"the source")])
COMPILER = fake_debian.deb([Member("./usr/bin/gcc", b"gcc", mode=0o755)])
FRAGMENT = "CONFIG_NSM=y\nCONFIG_MODULES=n\n"


def bzimage(release: str = "6.12.117") -> bytes:
    data = bytearray(0x1000)
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, 0x600)
    text = f"{release} (enclaver@enclaver)\0".encode()
    data[0x800 : 0x800 + len(text)] = text
    return bytes(data)


class Sandbox:
    """Stands in for namespaces.run: does to the tree what make would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.config = FRAGMENT
        self.image = bzimage()
        self.codes: dict[str, int] = {}
        self.package = b""
        self.compiler = ""

    def run(
        self,
        root: Path,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        hostname: str,
        on_line: Callable[[str], None],
    ) -> int:
        assert hostname == "enclaver"
        assert env["SOURCE_DATE_EPOCH"] == "0"
        self.asked.append(" ".join(argv))
        linux = root / "build/linux"
        if len(self.asked) == 1:
            self.package = (root / "build/package.tar").read_bytes()
            self.compiler = (root / "usr/bin/gcc").read_text()
        if argv[-1] == "olddefconfig":
            (linux / ".config").write_text(self.config)
        if argv[-1] == "bzImage":
            for number in range(250):
                on_line(f"  CC      mm/f{number}.o")
            (linux / "arch/x86/boot").mkdir(parents=True)
            (linux / "arch/x86/boot/bzImage").write_bytes(self.image)
        on_line("error: it said no")
        return self.codes.get(argv[-1], 0)


class Inputs:
    """The stage's inputs in a folder, and the call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        compiler = fake_debian.package("gcc", COMPILER)
        fake_debian.write_lock(folder / "toolchain.lock.json", [compiler], ["gcc"])
        (folder / "debs").mkdir()
        (folder / "debs" / f"{compiler.sha256}.deb").write_bytes(COMPILER)
        (folder / "source.deb").write_bytes(SOURCE)
        package = replace(fake_debian.package("linux-source-6.12", SOURCE, "6.12.117-1"), architecture="all")
        (folder / "source.lock.json").write_bytes(render(SourceLock("6.12.117", package)))
        (folder / "x86_64.config").write_text(FRAGMENT)
        self.told: list[str] = []

    @property
    def output(self) -> Path:
        return self.folder / "out" / "kernel"

    def build(self, jobs: int | None = None) -> None:
        self.output.parent.mkdir(exist_ok=True)
        kernel.build(
            toolchain_lock=self.folder / "toolchain.lock.json",
            debs=self.folder / "debs",
            source=self.folder / "source.deb",
            source_lock=self.folder / "source.lock.json",
            config=self.folder / "x86_64.config",
            output=self.output,
            progress=self.told.append,
            jobs=jobs,
        )

    def refused(self, message: str) -> str:
        with pytest.raises(EnclaverError, match=message) as caught:
            self.build()
        assert list(self.output.parent.iterdir()) == []
        return str(caught.value)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    made = Sandbox()
    monkeypatch.setattr(kernel, "run", made.run)
    return made


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)


def test_the_folder_is_a_kernel_as_files(sandbox: Sandbox, inputs: Inputs) -> None:
    inputs.build(jobs=3)
    assert sorted(path.name for path in inputs.output.iterdir()) == [
        "bzImage",
        "bzImage.config",
        "cmdline",
        "kernel.json",
    ]
    found = files.read(inputs.output)
    assert (found.architecture, found.release) == ("x86_64", "6.12.117")
    assert found.cmdline.startswith("reboot=t panic=30 ")
    assert [(one.kind, one.name, one.version) for one in found.inputs] == [
        ("kernel", "bzImage", "6.12.117"),
        ("config", "x86_64.config", None),
        ("source", "linux-source-6.12", "6.12.117-1"),
        ("toolchain", "gcc", "1.0"),
    ]
    assert json.loads((inputs.output / "kernel.json").read_bytes())["sha256"] == hashlib.sha256(bzimage()).hexdigest()


def test_the_sandbox_has_the_toolchain_and_the_source(sandbox: Sandbox, inputs: Inputs) -> None:
    inputs.build(jobs=3)
    assert b"the source" in sandbox.package
    assert sandbox.compiler == "gcc"
    assert sandbox.asked[-1] == "make ARCH=x86_64 --jobs=3 bzImage"


def test_progress_is_told_as_it_goes_and_nothing_else_is_left(sandbox: Sandbox, inputs: Inputs) -> None:
    inputs.build()
    assert inputs.told == [
        "kernel: unpacking the toolchain",
        "kernel: unpacking the source",
        "kernel: configuring",
        "kernel: compiling",
        "kernel: 100 objects compiled",
        "kernel: 200 objects compiled",
        "kernel: 6.12.117 is ready",
    ]
    assert list(inputs.output.parent.iterdir()) == [inputs.output]


def test_a_dropped_option_ends_it_before_the_compiling(sandbox: Sandbox, inputs: Inputs) -> None:
    sandbox.config = "# CONFIG_NSM is not set\n"
    inputs.refused(r"(?s)x86_64\.config: line 1: .*CONFIG_NSM=y: it was dropped")
    assert sandbox.asked[-1] == "make ARCH=x86_64 olddefconfig"


def test_a_failing_build_shows_what_it_said(sandbox: Sandbox, inputs: Inputs) -> None:
    sandbox.codes["bzImage"] = 2
    inputs.refused(r"(?s)compiling the kernel failed: make ended with 2; it said:.*error: it said no")
    sandbox.codes["bzImage"] = -9
    inputs.refused("make was ended by signal 9")


def test_where_namespaces_are_forbidden_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch, inputs: Inputs) -> None:
    def run(*_: object, **__: object) -> int:
        raise NamespacesForbiddenError("this machine lets you make no namespaces", cure="Allow them: sysctl.")

    monkeypatch.setattr(kernel, "run", run)
    text = inputs.refused("the kernel cannot be built here: this machine lets you make no namespaces")
    for way in ("Allow them: sysctl.", "nitro-cli's blobs folder", "remote cache", "docs/kernel.md"):
        assert way in text


def test_a_source_of_another_version_is_refused(sandbox: Sandbox, inputs: Inputs) -> None:
    sandbox.image = bzimage("6.12.95")
    inputs.refused(r"source\.lock\.json: kernel_version: the source is of kernel 6\.12\.95, not of 6\.12\.117")


def test_a_source_with_other_bytes_is_refused(sandbox: Sandbox, inputs: Inputs) -> None:
    (inputs.folder / "source.deb").write_bytes(SOURCE[:-1] + b"x")
    inputs.refused("this is not linux-source-6.12=6.12.117-1")
    assert sandbox.asked == []


def test_a_toolchain_package_with_other_bytes_is_refused(sandbox: Sandbox, inputs: Inputs) -> None:
    (deb,) = (inputs.folder / "debs").iterdir()
    deb.write_bytes(COMPILER + b"\0")
    inputs.refused("this is not gcc=1.0")


def test_an_output_that_is_there_is_refused_before_the_work(sandbox: Sandbox, inputs: Inputs) -> None:
    inputs.output.mkdir(parents=True)
    (inputs.output / "mine").touch()
    with pytest.raises(EnclaverError, match="kernel: is there already"):
        inputs.build()
    assert sandbox.asked == []
    assert [path.name for path in inputs.output.iterdir()] == ["mine"]


def test_a_missing_configuration_is_one_clear_error(sandbox: Sandbox, inputs: Inputs) -> None:
    (inputs.folder / "x86_64.config").unlink()
    inputs.refused("the kernel's configuration cannot be read: No such file")


def test_another_machine_is_told_what_it_can_do(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, inputs: Inputs
) -> None:
    arm = os.uname_result(("Linux", "here", "6.1", "#1", "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: arm)
    assert "files" in inputs.refused("on x86_64 machines only; this one is aarch64")


def test_a_toolchain_for_another_architecture_is_refused(sandbox: Sandbox, inputs: Inputs) -> None:
    lock = inputs.folder / "toolchain.lock.json"
    lock.write_text(lock.read_text().replace('"architecture": "amd64"', '"architecture": "arm64"'))
    inputs.refused("the toolchain is for arm64")
