"""Programs that a target image runs enclaves with and that no Debian package has: files that somebody built.

Whether such a program can be started in the image is known from what it was linked against, and is better told when the
image is built than when it is to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enclaver.core.errors import EnclaverError, in_file
from enclaver.core.rootfs import elf, elf_needs, lookup, script
from enclaver.core.rootfs.elf_needs import Needs
from enclaver.core.rootfs.entry import ORIGIN, Content, Entry, Kind
from enclaver.core.rootfs.regular import whole
from enclaver.core.rootfs.tree import Tree

_PROGRAMS: Final = "usr/bin"
_QEMU: Final = f"/{_PROGRAMS}/qemu-system-x86_64"
_EMULATED: Final = "x86_64"
# Where Debian's loader looks without a configuration, for the architectures of enclaves.
_LIBRARIES: Final = ("/lib/{}-linux-gnu", "/lib", "/lib64")
# nitro-cli keeps a socket for each enclave in one, and its log in the other; it makes neither.
_NITRO_FOLDERS: Final = ("run/nitro_enclaves", "var/log/nitro_enclaves")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs, as files of this machine.

    Args:
        nitro_cli: makes enclaves where there is Nitro hardware.
        vhost_device_vsock: the emulator's vsock.
        emulator: whether the image is to emulate where there is none, which takes QEMU in its Debian tree too.
    """

    nitro_cli: Path | None = None
    vhost_device_vsock: Path | None = None
    emulator: bool = False


def tools(chosen: Tools, base: Tree, architecture: str) -> Tree:
    """Return the programs and what they need besides, to be laid on a Debian tree.

    Raises:
        EnclaverError: the image could not emulate, or a program can't be started in it.
    """
    check(chosen, architecture)
    if chosen.emulator and lookup.resolve(base, _QEMU) is None:
        raise EnclaverError("the Debian tree has no QEMU", cure="Give that of the lock with qemu-system-x86 in it.")
    brought = Tree()
    for name, path in (("nitro-cli", chosen.nitro_cli), ("vhost-device-vsock", chosen.vhost_device_vsock)):
        if path is not None:
            content = whole(path)
            with in_file(path):
                _check_program(content, base, architecture)
            brought.add(Entry(f"{_PROGRAMS}/{name}", Kind.FILE, 0o755, content=content, origin=ORIGIN))
    if chosen.nitro_cli is not None:
        for folder in _NITRO_FOLDERS:
            brought.add_directory(folder, origin=ORIGIN)
    return brought


def check(chosen: Tools, architecture: str) -> None:
    """Refuse programs that no image can be made of together. Raises EnclaverError."""
    if not chosen.emulator:
        if chosen.vhost_device_vsock is not None:
            raise EnclaverError(
                "vhost-device-vsock is the emulator's, and this image is to have none", cure="Ask for the emulator too."
            )
        return
    if architecture != _EMULATED:
        raise EnclaverError(
            f"the emulator runs {_EMULATED} enclaves, and this one is for {architecture}",
            cure="Build the image without the emulator.",
        )
    if chosen.vhost_device_vsock is None:
        raise EnclaverError(
            "the emulator needs vhost-device-vsock, which no Debian package has",
            cure="Build it (cargo install --locked vhost-device-vsock), and give the file.",
        )


def _check_program(content: Content, base: Tree, architecture: str) -> None:
    machine = elf.machine(content.head(elf.HEADER_SIZE))
    if machine is None:
        interpreter = script.interpreter(content.head(script.HEAD_SIZE))
        if interpreter is None:
            raise EnclaverError("is no program", cure="Give the program itself.")
        if lookup.resolve(base, interpreter) is None:
            raise EnclaverError(f"is run by {interpreter or 'nothing'}, which the image does not have")
        return
    if machine != architecture:
        raise EnclaverError(
            f"is for {machine}, and the enclave for {architecture}", cure="Give the one for the enclave's machine."
        )
    if missing := list(_missing(elf_needs.needs(content) or Needs(), base, architecture)):
        raise EnclaverError(
            f"cannot be started in the image, which lacks {', '.join(missing)}",
            cure="Build it on the image's release of Debian (bookworm), or link it statically.",
        )


def _missing(needs: Needs, base: Tree, architecture: str) -> Iterator[str]:
    """Yield what a program wants and a tree does not have: files, and versions of what is in them."""
    if needs.loader is not None and lookup.resolve(base, needs.loader) is None:
        yield needs.loader
    for name in needs.libraries:
        library = _library(name, base, architecture)
        if library is None:
            yield name
            continue
        found = elf_needs.needs(library) or Needs()
        wanted = [version for of, version in needs.versions if of == name]
        yield from (f"{version} of {name}" for version in wanted if version not in found.defines)


def _library(name: str, base: Tree, architecture: str) -> Content | None:
    for folder in _LIBRARIES:
        found = lookup.resolve(base, f"{folder.format(architecture)}/{name}")
        if found is not None and found.kind is Kind.FILE:
            return base.content(found)
    return None
