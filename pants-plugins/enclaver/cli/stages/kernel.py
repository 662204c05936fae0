"""Build a kernel from source with the pinned toolchain."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import kernel
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and build."""
    options = program.parser(__doc__)
    options.add_argument("--toolchain-lock", type=Path, required=True)
    options.add_argument("--debs", type=Path, required=True)
    options.add_argument("--source-lock", type=Path, required=True)
    options.add_argument("--source", type=Path, required=True, help="the folder that holds the source package")
    options.add_argument("--config", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--progress", type=Path, help="a file that progress is appended to, besides standard error")
    args = options.parse_args()
    source = program.only_file(args.source)
    with program.reporter(args.progress) as say:
        kernel.build(
            toolchain_lock=args.toolchain_lock,
            debs=args.debs,
            source=source,
            source_lock=args.source_lock,
            config=args.config,
            output=args.output,
            progress=say,
        )


if __name__ == "__main__":
    program.main(run)
