"""Unpack the packages of a Debian lock into a tree."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import debian
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and unpack."""
    options = program.parser(__doc__)
    options.add_argument("--lock", type=Path, required=True)
    options.add_argument("--debs", type=Path, required=True)
    options.add_argument("--cpio", type=Path, required=True)
    options.add_argument("--entries", type=Path, required=True)
    args = options.parse_args()
    debian.tree(lock=args.lock, debs=args.debs, cpio=args.cpio, entries=args.entries)


if __name__ == "__main__":
    program.main(run)
