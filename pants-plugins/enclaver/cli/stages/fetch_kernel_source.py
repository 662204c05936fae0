"""Fetch the package that a kernel is built from, verified by its hash."""

from __future__ import annotations

from enclaver.build import kernel_source
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and fetch."""
    args = program.fetch_arguments(__doc__)
    kernel_source.fetch(lock=args.lock, output=args.output, cache=args.cache, mirrors=args.mirror, progress=program.say)


if __name__ == "__main__":
    program.main(run)
