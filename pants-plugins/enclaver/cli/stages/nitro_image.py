"""Make the docker image that nitro-cli is to make an enclave of."""

from __future__ import annotations

from pathlib import Path

from enclaver.build.nitro_image import nitro_image
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and make it."""
    options = program.parser(__doc__)
    options.add_argument("--boot", type=Path, nargs=2, required=True)
    options.add_argument("--app", type=Path, nargs=2, required=True)
    options.add_argument("--architecture", choices=("x86_64", "aarch64"), required=True)
    options.add_argument("--output", type=Path, required=True, help="the archive, as docker load takes it")
    options.add_argument("--entries", type=Path, required=True, help="the JSON that says what is in it")
    args = options.parse_args()
    nitro_image(
        boot=tuple(args.boot), app=tuple(args.app), architecture=args.architecture, output=(args.output, args.entries)
    )


if __name__ == "__main__":
    program.main(run)
