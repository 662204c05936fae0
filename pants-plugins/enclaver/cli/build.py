"""``enclaver build``: a manifest to an enclave's image, and to a container image that runs it, without Pants."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from enclaver.build import ingress_tls, preflight, signing, standalone
from enclaver.build.image_lock import Source
from enclaver.build.ramdisks import Fetching
from enclaver.build.registries import Registries
from enclaver.build.runner_tools import Tools
from enclaver.build.standalone import Built, Request
from enclaver.cli import manifest_argument, registry_argument
from enclaver.cli.progress import progress
from enclaver.core.eif.format import Architecture
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.signing_key import KeyKind
from enclaver.core.oci.image_lock import NAME as LOCK
from enclaver.core.oci.platform import ARCHITECTURES
from enclaver.core.pcr import report
from enclaver.system.daemon import Daemon
from enclaver.system.scratch import scratch_folder

NAME = "build"
HELP = "build an enclave's image, and a container image that runs it, from a manifest whose app is a container image"
_CACHE: Final = "enclaver"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Builds the enclave of a manifest whose `sources.app` is a container image, puts it into the manifest's "
        "`target` image and loads that into the docker daemon. Prints what it was made of, its measurements and the "
        "image, as JSON. The registers are those of `./pants package`."
    )
    manifest_argument.add(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--eif-only",
        type=Path,
        metavar="X.eif",
        help="write the enclave's image there, with X.pcrs.json and X.materials.json, and make no container image",
    )
    output.add_argument(
        "--archive",
        type=Path,
        metavar="X.tar",
        help="write the container image there as an OCI archive, without a daemon",
    )
    app = parser.add_argument_group("the app")
    app.add_argument("--pull", action="store_true", help="take the app from its registry, also when the daemon has it")
    app.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help=f"what pins the app (default: {LOCK} beside the manifest; without one, what its name means now)",
    )
    app.add_argument("--drop-xattrs", action="store_true", help="leave out the extended attributes of the app's files")
    registry_argument.add(parser)
    image = parser.add_argument_group("the image")
    image.add_argument("--architecture", choices=tuple(ARCHITECTURES), default="x86_64", help="default: %(default)s")
    image.add_argument(
        "--builder",
        choices=(standalone.NATIVE, standalone.NITRO_CLI),
        default=standalone.NATIVE,
        help="what makes the enclave's image: this, or AWS's tool with the docker daemon (default: %(default)s)",
    )
    image.add_argument(
        "--kernel",
        type=Path,
        metavar="DIR",
        help="the kernel: a folder with bzImage (or Image) and cmdline; for nitro-cli all of its blobs (default: this "
        "release's own, built from source once, or nitro-cli's own folder)",
    )
    image.add_argument(
        "--emulator", action="store_true", help="put QEMU into the container image, to run it without Nitro"
    )
    image.add_argument(
        "--nitro-cli", type=Path, metavar="PROGRAM", help="nitro-cli, for the container image and to build with"
    )
    image.add_argument("--vhost-device-vsock", type=Path, metavar="PROGRAM", help="what --emulator needs beside QEMU")
    fetched = parser.add_argument_group("what is fetched")
    fetched.add_argument("--cache", type=Path, metavar="DIR", help="where it is kept (default: ~/.cache/enclaver)")
    fetched.add_argument(
        "--mirror", action="append", default=[], metavar="URL", help="a Debian mirror (may be given several times)"
    )
    fetched.add_argument(
        "--index",
        action="append",
        default=[],
        metavar="URL",
        help="a Python package index (may be given several times)",
    )


def run(args: argparse.Namespace) -> int:
    """Build, and print the summary; 0. Raises EnclaverError; then no output is there."""
    _check_options(args)
    with (
        scratch_folder(Path(tempfile.gettempdir()), prefix="enclaver-build-") as work,
        Registries(insecure=args.insecure_registry) as registries,
        progress() as say,
    ):
        request = _request(args, work)
        output = args.eif_only or args.archive
        fetching = Fetching(_cache(args), args.mirror, args.index, say)
        preflight.check(request, output=output, loads=output is None, cache=fetching.cache)
        eif = args.eif_only or work / "application.eif"
        built = standalone.eif(request, eif, work, fetching=fetching, registries=registries)
        if args.eif_only:
            made: dict[str, Any] = {"EIF": str(args.eif_only)}
        else:
            made = {"Image": _container(args, request, eif, work, fetching, say)}
    print(json.dumps({**_summary(built), **made}, indent=2))
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that would change nothing."""
    if args.eif_only is None:
        return
    given = {
        "--emulator": args.emulator,
        "--vhost-device-vsock": args.vhost_device_vsock,
        "--nitro-cli": args.nitro_cli and args.builder != standalone.NITRO_CLI,
    }
    for option in (name for name, value in given.items() if value):
        raise EnclaverError(
            f"{option} is for the container image, and --eif-only makes none", cure="Leave one of the two out."
        )


def _request(args: argparse.Namespace, work: Path) -> Request:
    manifest, data = manifest_argument.read(args.file)
    folder = manifest_argument.folder_of(args.file)
    standalone.app_of(manifest)
    if args.eif_only is None and manifest.target is None:
        raise EnclaverError(
            "the manifest names no `target`, the container image to make",
            file=manifest.origin.source.file,
            cure="Add `target: NAME:TAG`, or use --eif-only.",
        )
    # What is wrong with them is told of the manifest's own lines, and before anything is built or copied.
    ingress_tls.pack(manifest, folder)
    signer = None
    if (signature := manifest.signature) is not None:
        key = signature.key
        # Not by Path, which would take the "./" away that tells a file from an ARN.
        place = os.path.join(folder, key.value) if key.kind is KeyKind.FILE else key.value
        signer = signing.load(manifest, folder / signature.certificate, place, now=datetime.now(UTC))
    beside = folder / LOCK
    architecture: Architecture = args.architecture
    return Request(
        manifest=manifest,
        file=_laid_out(manifest, data, folder, work / "manifest"),
        lock=args.lock or (beside if beside.exists() else None),
        architecture=architecture,
        source=Source.REGISTRY if args.pull else Source.AUTO,
        builder=args.builder,
        kernel=args.kernel,
        signer=signer,
        drop_xattrs=args.drop_xattrs,
        tools=Tools(args.nitro_cli, args.vhost_device_vsock, args.emulator),
        nitro_cli_program=args.nitro_cli,
    )


def _laid_out(manifest: Manifest, data: bytes, folder: Path, target: Path) -> Path:
    """Write a manifest as it was read, with the files that it names beside it: a build is of one state of them, also
    when somebody edits them meanwhile, or the manifest came by standard input.
    """
    target.mkdir()
    for _, path in manifest.files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target / path)
    file = target / manifest_argument.DEFAULT_FILE
    file.write_bytes(data)
    return file


def _container(
    args: argparse.Namespace, request: Request, eif: Path, work: Path, fetching: Fetching, say: Callable[[str], None]
) -> dict[str, str]:
    archive = args.archive or work / "image.tar"
    digest = standalone.target(request, eif, archive, work, fetching=fetching)
    named = {"Name": str(request.manifest.target), "Digest": str(digest)}
    if args.archive:
        return {**named, "Archive": str(args.archive)}
    say("loading it into the docker daemon")
    with Daemon() as daemon:
        daemon.load(archive)
        found = daemon.find(named["Name"])
    return {**named, "ID": found.id} if found else named


def _summary(built: Built) -> dict[str, Any]:
    app: dict[str, str | None] = {
        "Name": built.app.familiar,
        "Digest": str(built.meaning.digest) if built.meaning.digest else None,
        "ID": str(built.meaning.image_id),
    }
    return {"Sources": {"App": app}, **json.loads(report.render(built.measurements))}


def _cache(args: argparse.Namespace) -> Path:
    if args.cache:
        return Path(args.cache)
    # One that is relative is to be ignored, says the XDG Base Directory Specification.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / _CACHE
    except RuntimeError as error:
        raise EnclaverError(
            "this user has no home folder, so there is no place for what is fetched", cure="Name one with --cache."
        ) from error
