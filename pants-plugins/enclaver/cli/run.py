"""``enclaver run``: start an enclave of an image, on Nitro hardware or emulated, and follow its app."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from enclaver.build import manifest as manifests
from enclaver.cli import starts
from enclaver.cli.beside import OWN_ADDRESS, obeyed, own_ports, parent_services, tell
from enclaver.cli.starts import MACHINES
from enclaver.core.eif.reader import read
from enclaver.core.errors import EnclaverError
from enclaver_runtime.parent import exit_codes, nitro, runner
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.exit_codes import Outcome
from enclaver_runtime.parent.services import ANY, Publication, addresses
from enclaver_runtime.parent.sink import descriptor_sink

NAME = "run"
HELP = "start an enclave of an image and stream its app's log; exits as the app does"
_BOOT_TIMEOUT: Final = 120


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Starts an enclave of an image and streams its app's log to standard output: on Nitro hardware where "
        f"{nitro.DEVICE} is, else emulated in QEMU, which protects nothing. The exit code is the app's own; 107 when a "
        "signal ended it, 108 when it could not be started or the enclave failed, 109 when this command was "
        "interrupted: SIGINT or SIGTERM asks the app to end, a second one ends the enclave at once."
    )
    parser.add_argument("eif", type=Path, nargs="?", metavar="IMAGE.eif", help="the image")
    parser.add_argument(
        "-f",
        "--file",
        type=Path,
        metavar="enclaver.yaml",
        help="the image's manifest: its `defaults` are the memory and processors, and each of its ingress ports is "
        f"published at {OWN_ADDRESS} by the same number, unless the options below say otherwise",
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
        "--address",
        type=_addresses,
        help=f"where the manifest's ports are published: an address of this machine, or `{ANY}` for all of its "
        f"addresses, IPv4's and IPv6's (default: {OWN_ADDRESS})",
    )
    parser.add_argument("--cpu-count", type=_positive, metavar="N", help="processors (default: the image's own)")
    parser.add_argument(
        "--memory-mb",
        type=_positive,
        metavar="N",
        help="memory in MiB (default: the image's own). Nitro needs at least four times the image; the emulator three "
        "times its ramdisks, and 32 MiB",
    )
    parser.add_argument(
        "--debug-mode",
        action="store_true",
        help="stream the enclave's console to standard error too. On Nitro this makes a debug enclave, whose "
        "attestation documents measure nothing",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--nitro", action="store_true", help="on Nitro hardware, by nitro-cli")
    where.add_argument("--emulate", action="store_true", help="in QEMU, also where there is Nitro hardware")
    parser.add_argument(
        "--boot-timeout",
        type=_positive,
        default=_BOOT_TIMEOUT,
        metavar="SECONDS",
        help="how long the app may take to start (default: %(default)s)",
    )
    emulated = parser.add_argument_group("emulator")
    emulated.add_argument(
        "--machine", choices=sorted(MACHINES), help="QEMU's machine (default: nitro-enclave if QEMU has it)"
    )
    emulated.add_argument("--qemu", type=Path, metavar="PATH", help="the QEMU to use")
    emulated.add_argument(
        "--development-attestation",
        action="store_true",
        help="sign attestation documents here, with a root made for this run. For tests of what verifies documents: "
        "they prove nothing, and the image's PCR0 and PCR1 change",
    )
    emulated.add_argument(
        "--development-root", type=Path, metavar="FILE", help="write that root's certificate to a file (PEM)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the image; returns the app's exit code or 107, 108, 109.

    Raises:
        EnclaverError: the image isn't sound, a program is missing, or the enclave ended without a word.
    """
    try:
        outcome = _outcome(args)
    except KeyboardInterrupt:
        # While the image was read: nothing was started yet.
        outcome = exit_codes.interrupted(signal.SIGINT)
    tell(outcome.reason)
    return outcome.exit_code


def _outcome(args: argparse.Namespace) -> Outcome:
    manifest = None if args.file is None else manifests.load(args.file)
    if args.eif is None:
        raise _no_image(args.file)
    if args.address and manifest is None:
        raise EnclaverError("--address is for the ports of a manifest", cure="Give it too (-f), or use -p ADDRESS:...")
    image = read(args.eif)
    hardware = args.nitro or (not args.emulate and nitro.DEVICE.exists())
    config = obeyed(image)
    session = runner.Session(
        log=descriptor_sink(sys.stdout.fileno()),
        boot_timeout=float(args.boot_timeout),
        tell=tell,
        services=parent_services(image, config, args.publish or own_ports(manifest, args.address or (OWN_ADDRESS,))),
        # An image of another tool's may hold a runtime that takes no requests.
        asks=config is not None,
    )
    start = (starts.on_nitro if hardware else starts.in_emulator)(args, image, manifest)
    try:
        return trio.run(runner.run, start, session)
    except ParentError as error:
        raise EnclaverError(str(error)) from error


def _no_image(manifest: Path | None) -> EnclaverError:
    if manifest is None:
        return EnclaverError("nothing to run", cure="Give the path of an image: enclaver run IMAGE.eif.")
    return EnclaverError(
        "a manifest is no image yet",
        file=str(manifest),
        cure="Build it (`enclaver build --eif-only IMAGE.eif`, or `./pants package`), and give the image too: "
        f"enclaver run -f {manifest} IMAGE.eif. `./pants run` does both.",
    )


def _publication(text: str) -> Publication:
    try:
        return Publication.parse(text)
    except ParentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _addresses(text: str) -> Sequence[str]:
    try:
        return addresses(text)
    except ParentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= 1 << 20:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {1 << 20}")
    return number
