"""Fetch the package that a kernel is built from, verified by its hash."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import kernel_source
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and fetch."""
    options = program.parser(__doc__)
    options.add_argument("--lock", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--mirror", action="append", default=[])
    args = options.parse_args()
    kernel_source.fetch(lock=args.lock, output=args.output, cache=args.cache, mirrors=args.mirror, progress=program.say)


if __name__ == "__main__":
    program.main(run)
