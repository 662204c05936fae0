"""Fetch the runtime's wheels, each of the hash its lock says."""

from __future__ import annotations

from pathlib import Path

from enclaver.cli.stages import program
from enclaver.system import wheels


def run() -> None:
    """Parse the arguments and fetch."""
    options = program.parser(__doc__)
    options.add_argument("--lock", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--index", action="append", default=[])
    options.add_argument("--find-links", action="append", default=[])
    args = options.parse_args()
    wheels.download(args.lock, args.output, indexes=args.index, find_links=args.find_links)


if __name__ == "__main__":
    program.main(run)
