"""Fetch the packages of a Debian lock, each verified by its hash."""

from __future__ import annotations

from enclaver.build import debian
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and fetch."""
    args = program.fetch_arguments(__doc__)
    debian.fetch(lock=args.lock, output=args.output, cache=args.cache, mirrors=args.mirror, progress=program.say)


if __name__ == "__main__":
    program.main(run)
