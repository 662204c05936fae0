"""``enclaver run``: boot an image in the emulator and follow its app."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from enclaver.build.boot_parts import boot_parts
from enclaver.build.image_config import obeyed_config
from enclaver.build.memory import least_memory_mb
from enclaver.core.eif.reader import Image, read
from enclaver.core.errors import EnclaverError
from enclaver_runtime.config import parse as parse_config
from enclaver_runtime.parent import emulator
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.machine import BootParts, EnclaveImage, Machine
from enclaver_runtime.parent.services import ParentService, Publication, services
from enclaver_runtime.parent.sink import descriptor_sink

NAME = "run"
HELP = "boot an image and stream its app's log; exits as the app does"
_ARCHITECTURE: Final = "x86_64"
_BOOT_TIMEOUT: Final = 120
_MEBIBYTE: Final = 1 << 20
_MACHINES: Final = {machine.value: machine for machine in Machine}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Boots an enclave image and streams its app's log to standard output. The exit code is the app's own; 107 when "
        "a signal ended it, 108 when it could not be started or the enclave failed, 109 when this command was "
        "interrupted. An emulated enclave protects nothing: it is for trying an image."
    )
    parser.add_argument("eif", type=Path, metavar="X.eif", help="the image")
    parser.add_argument(
        "--emulate", action="store_true", help="boot it in QEMU; this release has no other way, so it has to be given"
    )
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        type=_publication,
        metavar="[ADDRESS:]PORT:ENCLAVE_PORT",
        help="let a TCP port of this machine lead to an ingress port of the enclave (may be given several times)",
    )
    parser.add_argument(
        "--memory-mb",
        type=_positive,
        metavar="N",
        help="memory in MiB (default: the image's own); at least three times its ramdisks and 32 MiB",
    )
    parser.add_argument("--cpu-count", type=_positive, metavar="N", help="processors (default: the image's own)")
    parser.add_argument("--console", action="store_true", help="stream the enclave's console to standard error too")
    parser.add_argument(
        "--machine", choices=sorted(_MACHINES), help="QEMU's machine (default: nitro-enclave if QEMU has it)"
    )
    parser.add_argument("--qemu", type=Path, metavar="PATH", help="the QEMU to use")
    parser.add_argument(
        "--boot-timeout",
        type=_positive,
        default=_BOOT_TIMEOUT,
        metavar="SECONDS",
        help="how long the app may take to start (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the image; returns the app's exit code or 107, 108, 109.

    Raises:
        EnclaverError: the image isn't sound, a program is missing, or the enclave ended without a word.
    """
    if not args.emulate:
        raise EnclaverError(
            "running on Nitro hardware is not in this release",
            file=str(args.eif),
            cure="Add --emulate to try the image in QEMU; on a Nitro instance use `nitro-cli run-enclave`.",
        )
    image = read(args.eif)
    if image.header.architecture != _ARCHITECTURE:
        raise EnclaverError(
            f"the emulator runs {_ARCHITECTURE} images, this one is for {image.header.architecture}",
            file=str(args.eif),
            cure=f"Build the image for {_ARCHITECTURE} to try it here, or run it on a Nitro instance of its own.",
        )
    memory_mb = args.memory_mb or image.header.memory_bytes // _MEBIBYTE
    _check_memory(image, memory_mb)

    def extract(folder: Path) -> BootParts:
        parts = boot_parts(image, folder)
        return BootParts(parts.kernel, parts.cmdline, parts.ramdisk)

    boot = functools.partial(
        emulator.run,
        EnclaveImage(args.eif, extract),
        log=descriptor_sink(sys.stdout.fileno()),
        memory_mb=memory_mb,
        cpus=args.cpu_count or max(image.header.cpus, 1),
        boot_timeout=float(args.boot_timeout),
        tell=_tell,
        console=descriptor_sink(sys.stderr.fileno()) if args.console else None,
        qemu=args.qemu,
        machine_type=_MACHINES.get(args.machine),
    )
    try:
        outcome = trio.run(functools.partial(boot, services=_services(image, args.publish)))
    except ParentError as error:
        raise EnclaverError(str(error)) from error
    _tell(outcome.reason)
    return outcome.exit_code


def _check_memory(image: Image, memory_mb: int) -> None:
    """Refuse memory that the ramdisks do not fit into: the kernel would cut them and go on."""
    least = least_memory_mb(image)
    if memory_mb < least:
        raise EnclaverError(
            f"the image cannot boot with {memory_mb} MiB of memory: what it unpacks does not fit",
            file=str(image.path),
            cure=f"Give it --memory-mb {least} or more, and `defaults.memory_mb` in its manifest.",
        )


def _services(image: Image, publish: Sequence[Publication]) -> Sequence[ParentService]:
    """Return what the parent runs beside the image: what the image's own configuration asks for."""
    try:
        found = obeyed_config(image)
    except EnclaverError:
        # The file is sound (its CRC is), so this is another tool's ramdisk: compressed, for one.
        found = None
    if found is None:
        if publish:
            raise EnclaverError(
                "the image has no runtime.json, so it has no ingress ports to publish",
                file=str(image.path),
                cure="Leave --publish out, or run an image that enclaver built.",
            )
        _tell("the image has no runtime.json: no egress, no ingress")
        return ()
    try:
        return services(parse_config(found), publish=publish, tell=_tell)
    except ValueError as error:  # Of the whole, or of an egress entry.
        raise EnclaverError(
            f"its runtime.json is not of this release: {error}",
            file=str(image.path),
            cure="Run it with the release that built it.",
        ) from error


def _tell(sentence: str) -> None:
    print(f"enclaver: {sentence}", file=sys.stderr, flush=True)


def _publication(text: str) -> Publication:
    try:
        return Publication.parse(text)
    except ParentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= 1 << 20:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {1 << 20}")
    return number
