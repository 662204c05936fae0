"""``enclaver validate``: check a manifest without building anything."""

from __future__ import annotations

import argparse

from enclaver.cli import manifest_argument

NAME = "validate"
HELP = "check a manifest and show every problem of it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = "Check a manifest and show every problem of it."
    manifest_argument.add(parser)


def run(args: argparse.Namespace) -> int:
    """Print that the manifest is valid, and its notes; returns 0.

    Raises:
        EnclaverError: the manifest is invalid or cannot be read.
    """
    manifest, _ = manifest_argument.read(args.file)
    file = manifest.origin.source.file
    print(f"{file}: valid")
    for note in manifest.notes:
        print(note.render(file, label="note: "))
    return 0
