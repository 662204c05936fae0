"""Assemble the image, its PCRs and its materials."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import manifest
from enclaver.build.image import Ramdisk, image
from enclaver.cli import signing_options
from enclaver.cli.stages import program
from enclaver.core.version import IMAGE_VERSION, VERSION


def run() -> None:
    """Parse the arguments and assemble."""
    options = program.parser(__doc__)
    options.add_argument("--kernel", type=Path, required=True)
    options.add_argument("--boot", type=Path, nargs=2, required=True)
    options.add_argument("--app", type=Path, nargs=2, required=True)
    options.add_argument("--manifest", type=Path, required=True)
    options.add_argument("--architecture", choices=("x86_64", "aarch64"), required=True)
    options.add_argument("--output", type=Path, required=True, help="path of the image, without .eif")
    signing_options.add(options)
    args = options.parse_args()
    parsed = manifest.load(args.manifest)
    signer = signing_options.signer(options, args, parsed)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    image(
        kernel_dir=args.kernel,
        architecture=args.architecture,
        ramdisks=(Ramdisk("boot", *args.boot), Ramdisk("app", *args.app)),
        name=parsed.name,
        version=IMAGE_VERSION,
        tool_version=VERSION,
        memory_mb=parsed.defaults.memory_mb,
        cpus=parsed.defaults.cpu_count,
        signer=signer,
        output=args.output.with_name(args.output.name + ".eif"),
    )


if __name__ == "__main__":
    program.main(run)
