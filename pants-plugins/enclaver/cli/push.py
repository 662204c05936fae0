"""``enclaver push``: a target image's archive to its registries."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from enclaver.build import image_push
from enclaver.build.registries import Registries
from enclaver.cli import registry_argument
from enclaver.core.oci import reference

NAME = "push"
HELP = "push an image's archive to its registry"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Pushes an OCI archive, such as the image.tar that `package` leaves, as it is: its digest in the registry is "
        "its own. Who pushes is in docker's configuration (docker login); for ECR, AWS knows too."
    )
    parser.add_argument("archive", type=Path, metavar="X.image.tar", help="the archive")
    parser.add_argument("names", nargs="+", metavar="REFERENCE", help="a name and tag to push it as")
    registry_argument.add(parser)


def run(args: argparse.Namespace) -> int:
    """Push; prints the digest. Raises EnclaverError."""
    names = [reference.parse(name) for name in args.names]
    with Registries(insecure=args.insecure_registry) as registries:
        digest = image_push.push(
            args.archive, names, registries=registries, progress=lambda line: print(line, file=sys.stderr)
        )
    print(digest)
    return 0
