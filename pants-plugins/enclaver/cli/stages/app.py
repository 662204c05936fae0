"""Make the app ramdisk."""

from __future__ import annotations

from pathlib import Path

from enclaver.build.app import app
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and make it."""
    options = program.parser(__doc__)
    program.tree_argument(options)
    program.output_argument(options)
    options.add_argument("--app", type=Path, required=True)
    options.add_argument("--spec", type=Path, required=True)
    options.add_argument("--manifest", type=Path, required=True)
    args = options.parse_args()
    app(
        tree=(args.tree, args.entries),
        folder=args.app,
        spec=args.spec,
        manifest=args.manifest,
        output=(args.cpio, args.cpio_entries),
    )


if __name__ == "__main__":
    program.main(run)
