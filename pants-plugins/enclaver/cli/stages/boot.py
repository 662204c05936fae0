"""Make the boot ramdisk."""

from __future__ import annotations

from pathlib import Path

from enclaver.build.boot import boot
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and make it."""
    options = program.parser(__doc__)
    program.tree_argument(options)
    program.output_argument(options)
    options.add_argument("--wheels", type=Path, required=True)
    options.add_argument("--wheel-lock", type=Path, required=True)
    options.add_argument("--runtime", type=Path, required=True)
    options.add_argument("--kernel", type=Path, required=True)
    args = options.parse_args()
    boot(
        tree=(args.tree, args.entries),
        wheels=args.wheels,
        wheel_lock=args.wheel_lock,
        runtime=args.runtime,
        kernel=args.kernel,
        output=(args.cpio, args.cpio_entries),
    )


if __name__ == "__main__":
    program.main(run)
