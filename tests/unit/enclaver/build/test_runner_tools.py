from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.build import runner as runners
from enclaver.build.runner_tools import Tools, tools
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs import elf_needs
from enclaver.core.rootfs.elf_needs import Needs
from enclaver.core.rootfs.entry import Content, InlineContent
from enclaver.core.rootfs.tree import Kind, Tree
from tests.unit.enclaver.build import apps
from tests.unit.enclaver.build.runners import debian, runner

LIBC = "usr/lib/x86_64-linux-gnu/libc.so.6"
LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def base(tmp_path: Path) -> Tree:
    tree = runners.base(runner(tmp_path, debian(tmp_path, apps.X86_64, "qemu-system-x86_64")), "x86_64")
    tree.add_file(LIBC, b"libc")
    tree.add_symlink("lib", "usr/lib")
    tree.add_symlink("lib64", "usr/lib64")
    tree.add_file(f"usr{LOADER}", b"loader")
    tree.ensure_parents()
    return tree


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(apps.elf())
    return path


def linked(monkeypatch: pytest.MonkeyPatch, wants: Needs, has: frozenset[str] = frozenset()) -> None:
    """Let every program want this, and the C library have that; the real ones are test_elf_needs's."""

    def needs(content: Content) -> Needs:
        return Needs(defines=has) if content == InlineContent(b"libc") else wants

    monkeypatch.setattr(elf_needs, "needs", needs)


def test_no_programs_are_nothing(base: Tree) -> None:
    assert len(tools(Tools(), base, "x86_64")) == 0


def test_programs_are_on_the_path(base: Tree, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked(
        monkeypatch,
        Needs(LOADER, ("libc.so.6", "ld-linux-x86-64.so.2"), (("libc.so.6", "GLIBC_2.34"),)),
        frozenset({"GLIBC_2.34"}),
    )
    found = tools(Tools(program, program, emulator=True), base, "x86_64")
    assert [(entry.path, entry.mode) for entry in found if entry.kind is Kind.FILE] == [
        ("usr/bin/nitro-cli", 0o755),
        ("usr/bin/vhost-device-vsock", 0o755),
    ]
    folders = [entry.path for entry in found if entry.kind is Kind.DIRECTORY]
    assert folders == ["run/nitro_enclaves", "var/log/nitro_enclaves"]


@pytest.mark.parametrize(
    ("wants", "lacks"),
    [
        (Needs("/lib/ld-musl-x86_64.so.1"), r"lacks /lib/ld-musl-x86_64\.so\.1"),
        (Needs(LOADER, ("libssl.so.1.1", "libc.so.6", "libx.so")), r"lacks libssl\.so\.1\.1, libx\.so"),
        (Needs(LOADER, ("libc.so.6",), (("libc.so.6", "GLIBC_2.38"),)), r"lacks GLIBC_2\.38 of libc\.so\.6"),
    ],
    ids=["loader", "library", "version"],
)
def test_what_a_program_lacks_is_named(
    base: Tree, program: Path, monkeypatch: pytest.MonkeyPatch, wants: Needs, lacks: str
) -> None:
    linked(monkeypatch, wants, frozenset({"GLIBC_2.36"}))
    with pytest.raises(EnclaverError, match=f"{program}: cannot be started in the image, which {lacks}"):
        tools(Tools(nitro_cli=program), base, "x86_64")


def test_a_damaged_program_is_named(base: Tree, program: Path) -> None:
    with pytest.raises(EnclaverError, match=f"{program}: is a damaged program"):
        tools(Tools(nitro_cli=program), base, "x86_64")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (apps.elf(apps.AARCH64), "is for aarch64, and the enclave for x86_64"),
        (b"text", "is no program"),
        (b"#!/usr/bin/perl\n", "is run by /usr/bin/perl, which the image does not have"),
        (b"#!\n", "is run by nothing"),
    ],
)
def test_what_cannot_be_run(base: Tree, program: Path, data: bytes, what: str) -> None:
    program.write_bytes(data)
    with pytest.raises(EnclaverError, match=what):
        tools(Tools(nitro_cli=program), base, "x86_64")


def test_a_script_that_the_image_can_run(base: Tree, program: Path) -> None:
    program.write_bytes(b"#!/usr/bin/python3 -I\n")
    assert "usr/bin/nitro-cli" in tools(Tools(nitro_cli=program), base, "x86_64")


def test_a_program_that_is_not_there(base: Tree, tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="gone: cannot read"):
        tools(Tools(nitro_cli=tmp_path / "gone"), base, "x86_64")


def test_an_emulator_needs_its_vsock(base: Tree) -> None:
    with pytest.raises(EnclaverError, match="the emulator needs vhost-device-vsock") as raised:
        tools(Tools(emulator=True), base, "x86_64")
    assert "cargo install" in str(raised.value)


def test_an_emulator_needs_qemu(base: Tree, program: Path) -> None:
    base.remove("usr/bin/qemu-system-x86_64")
    with pytest.raises(EnclaverError, match="the Debian tree has no QEMU"):
        tools(Tools(vhost_device_vsock=program, emulator=True), base, "x86_64")


def test_an_emulator_for_another_machine(base: Tree, program: Path) -> None:
    with pytest.raises(EnclaverError, match="this one is for aarch64"):
        tools(Tools(vhost_device_vsock=program, emulator=True), base, "aarch64")


def test_the_emulators_vsock_without_the_emulator(base: Tree, program: Path) -> None:
    with pytest.raises(EnclaverError, match="this image is to have none"):
        tools(Tools(vhost_device_vsock=program), base, "x86_64")
