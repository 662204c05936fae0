"""Make the app ramdisk."""

from __future__ import annotations

from pathlib import Path

from enclaver.build.app import app
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and make it."""
    options = program.parser(__doc__)
    # An app that is an image needs no base.
    options.add_argument("--tree", type=Path)
    options.add_argument("--entries", type=Path)
    program.output_argument(options)
    options.add_argument("--app", type=Path, required=True)
    options.add_argument("--spec", type=Path, required=True)
    options.add_argument("--manifest", type=Path, required=True)
    options.add_argument("--cache", type=Path, help="a folder where the layers of images are kept, unpacked")
    args = options.parse_args()
    app(
        tree=(args.tree, args.entries) if args.tree and args.entries else None,
        folder=args.app,
        spec=args.spec,
        manifest=args.manifest,
        output=(args.cpio, args.cpio_entries),
        cache=args.cache,
    )


if __name__ == "__main__":
    program.main(run)
