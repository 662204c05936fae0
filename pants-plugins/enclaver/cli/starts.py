"""How an image becomes an enclave: by nitro-cli on Nitro hardware, or in QEMU."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final

from enclaver.build.boot_parts import boot_parts
from enclaver.build.memory import check_memory
from enclaver.cli.beside import tell
from enclaver.cli.development import attested
from enclaver.core.eif.reader import Image
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.model import Manifest
from enclaver_runtime.parent import emulator, nitro
from enclaver_runtime.parent.machine import BootParts, EnclaveImage, Machine
from enclaver_runtime.parent.measurements import IMAGE_REGISTERS, checked
from enclaver_runtime.parent.runner import Enclave
from enclaver_runtime.parent.sink import Sink, descriptor_sink

#: QEMU's machines, as the command line names them.
MACHINES: Final = {machine.value: machine for machine in Machine}

#: Starts an enclave, and leaves nothing of it.
Start = Callable[[], AbstractAsyncContextManager[Enclave]]

_EMULATED: Final = "x86_64"
_MEBIBYTE: Final = 1 << 20


def on_nitro(args: argparse.Namespace, image: Image, manifest: Manifest | None) -> Start:
    """Return what makes an enclave of the image with nitro-cli, which gets the image as it is.

    Raises:
        EnclaverError: this machine, or the enclave's size, is not one for the image.
    """
    if image.header.architecture != os.uname().machine:
        raise EnclaverError(
            f"an image for {image.header.architecture} does not run on this machine, which is {os.uname().machine}",
            file=str(image.path),
            cure="Build the image for this machine's architecture, or take an instance of the image's.",
        )
    for option in ("machine", "qemu", "development-attestation", "development-root"):
        if getattr(args, option.replace("-", "_")):
            raise EnclaverError(f"--{option} is the emulator's", cure="Add --emulate, or leave it out.")
    memory_mb, cpus = _size(args, image, manifest)
    check_memory(image, memory_mb, on_nitro=True)
    return functools.partial(
        nitro.launch,
        image.path,
        memory_mb=memory_mb,
        cpus=cpus,
        debug=args.debug_mode,
        tell=tell,
        console=_console(args),
    )


def in_emulator(args: argparse.Namespace, image: Image, manifest: Manifest | None) -> Start:
    """Return what boots the image in QEMU.

    Raises:
        EnclaverError: the emulator, or the enclave's size, is not one for the image.
    """
    if image.header.architecture != _EMULATED:
        raise EnclaverError(
            f"the emulator runs {_EMULATED} images, this one is for {image.header.architecture}",
            file=str(image.path),
            cure=f"Build the image for {_EMULATED} to try it here, or run it on a Nitro instance of its own.",
        )
    if args.development_root and not args.development_attestation:
        raise EnclaverError("--development-root needs --development-attestation", cure="Add it, or leave both out.")
    memory_mb, cpus = _size(args, image, manifest)
    for note in check_memory(image, memory_mb, on_nitro=False):
        tell(note)

    def boot(booted: Image) -> AbstractAsyncContextManager[Enclave]:
        def extract(folder: Path) -> BootParts:
            parts = boot_parts(booted, folder)
            return BootParts(parts.kernel, parts.cmdline, parts.ramdisk)

        def emulated(look: Callable[[bytes], object]) -> AbstractAsyncContextManager[Enclave]:
            return emulator.boot(
                EnclaveImage(booted.path, extract),
                memory_mb=memory_mb,
                cpus=cpus,
                tell=tell,
                console=_console(args),
                on_line=look,
                qemu=args.qemu,
                machine_type=MACHINES.get(args.machine),
            )

        registers = booted.measurements.registers()
        return checked(emulated, {name: registers[name] for name in IMAGE_REGISTERS})

    if args.development_attestation:
        return functools.partial(attested, image, boot, root=args.development_root)
    return functools.partial(boot, image)


def _size(args: argparse.Namespace, image: Image, manifest: Manifest | None) -> tuple[int, int]:
    """Return memory in MiB and processors: the option's, else the manifest's, else the image's own."""
    own = (image.header.memory_bytes // _MEBIBYTE, max(image.header.cpus, 1))
    memory_mb, cpus = (manifest.defaults.memory_mb, manifest.defaults.cpu_count) if manifest else own
    return args.memory_mb or memory_mb, args.cpu_count or cpus


def _console(args: argparse.Namespace) -> Sink | None:
    if not args.debug_mode:
        return None
    write = descriptor_sink(sys.stderr.fileno())

    async def console(data: bytes) -> None:
        # As with what the command says itself: that nobody reads it any more ends no run.
        with suppress(OSError):
            await write(data)

    return console
