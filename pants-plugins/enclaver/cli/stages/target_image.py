"""Write the image that runs an enclave, as an archive."""

from __future__ import annotations

from pathlib import Path

from enclaver.build.runner import Runner
from enclaver.build.runner_tools import Tools
from enclaver.build.target_image import target_image
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and write it."""
    options = program.parser(__doc__)
    program.tree_argument(options)
    options.add_argument("--wheels", type=Path, required=True)
    options.add_argument("--wheel-lock", type=Path, required=True)
    options.add_argument(
        "--sources",
        type=Path,
        action="append",
        required=True,
        help="a folder with enclaver/ or enclaver_runtime/ in it",
    )
    options.add_argument("--eif", type=Path, required=True)
    options.add_argument("--manifest", type=Path, required=True)
    options.add_argument("--nitro-cli", type=Path)
    options.add_argument("--emulator", action="store_true")
    options.add_argument("--vhost-device-vsock", type=Path)
    options.add_argument("--name", action="append", default=[], help="a reference with a tag")
    options.add_argument("--output", type=Path, required=True, help="path of the archive, without .image.tar")
    args = options.parse_args()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    target_image(
        eif=args.eif,
        manifest=args.manifest,
        runner=Runner((args.tree, args.entries), args.wheels, args.wheel_lock, args.sources),
        tools=Tools(args.nitro_cli, args.vhost_device_vsock, args.emulator),
        names=args.name,
        output=args.output.with_name(args.output.name + ".image.tar"),
    )


if __name__ == "__main__":
    program.main(run)
