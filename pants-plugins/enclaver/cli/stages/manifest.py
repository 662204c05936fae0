"""Check a manifest and report what the rules need to know of it."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import manifest
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and report."""
    options = program.parser(__doc__)
    options.add_argument("--manifest", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    args = options.parse_args()
    manifest.report(args.manifest, args.output)


if __name__ == "__main__":
    program.main(run)
