"""``enclaver validate``: check a manifest without building anything."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from enclaver.build.manifest import load
from enclaver.core.manifest.document import MAX_BYTES
from enclaver.core.manifest.model import Manifest
from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.requirements import unsupported

NAME = "validate"
HELP = "check a manifest and show every problem of it"
DEFAULT_FILE = "enclaver.yaml"
_STDIN = "<stdin>"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = "Check a manifest and show every problem of it."
    parser.add_argument(
        "-f",
        "--file",
        default=DEFAULT_FILE,
        metavar="FILE",
        help="the manifest; `-` reads it from standard input (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Print that the manifest is valid, its notes, and what a build would refuse; returns 0.

    Raises:
        EnclaverError: the manifest is invalid or cannot be read.
    """
    manifest = _from_stdin() if args.file == "-" else load(Path(args.file))
    file = manifest.origin.source.file
    print(f"{file}: valid")
    for note in manifest.notes:
        print(note.render(file, label="note: "))
    for problem in unsupported(manifest):
        print(problem.render(file, label="a build refuses this: "))
    return 0


def _from_stdin() -> Manifest:
    return parse(sys.stdin.buffer.read(MAX_BYTES + 1), _STDIN)
