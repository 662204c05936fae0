"""``enclaver lock images``: pin what the references of manifests mean, by digest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from enclaver.build import image_lock
from enclaver.build.image_lock import Source
from enclaver.build.registries import Registries
from enclaver.cli import registry_argument
from enclaver.cli.manifest_argument import DEFAULT_FILE
from enclaver.core.oci import image_lock as lock_format
from enclaver.core.oci import platform, reference
from enclaver.system.atomic import atomic_output

NAME = "images"
HELP = "pin the container images that enclaves are built from, by digest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Looks up what image references mean now, in the docker daemon or in their registries, and writes it to a "
        "lock: the digest in the registry, and the image's id. What else the lock pins stays."
    )
    parser.add_argument(
        "references", nargs="*", metavar="REFERENCE", help="an image, such as registry.example.com/server:1.0"
    )
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a manifest whose sources.app is pinned (may be given several times; default: "
        f"{DEFAULT_FILE}, when no reference is given)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(lock_format.NAME),
        metavar="FILE",
        help="the lock (default: %(default)s)",
    )
    parser.add_argument(
        "--architecture",
        action="append",
        default=[],
        choices=tuple(platform.ARCHITECTURES),
        help="for which enclaves (may be given several times; default: those that are pinned already, else x86_64)",
    )
    parser.add_argument(
        "--source",
        choices=[source.value for source in Source],
        default=Source.AUTO.value,
        help="where to look: the docker daemon and then the registry (auto), or one of them (default: %(default)s)",
    )
    registry_argument.add(parser)


def run(args: argparse.Namespace) -> int:
    """Write the lock. Raises EnclaverError; then the lock is as it was."""
    manifests = args.file or ([] if args.references else [Path(DEFAULT_FILE)])
    images = {reference.parse(text) for text in args.references} | set(image_lock.referred_to(manifests))
    if not images:
        print(f"{', '.join(map(str, manifests))}: the app is a target, which needs no lock", file=sys.stderr)
        return 0
    with Registries(insecure=args.insecure_registry) as registries:
        lock = image_lock.update(
            existing=args.output if args.output.exists() else None,
            images=sorted(images, key=str),
            architectures=args.architecture,
            registries=registries,
            source=Source(args.source),
            progress=lambda line: print(line, file=sys.stderr),
        )
    with atomic_output(args.output) as out:
        out.write(lock_format.render(lock))
    print(f"{args.output}: {len(lock.images)} images", file=sys.stderr)
    return 0
