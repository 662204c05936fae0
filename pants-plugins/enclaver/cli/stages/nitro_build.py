"""Have nitro-cli build the image; write it, its PCRs and its materials."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import manifest, nitro_builder
from enclaver.cli import signing_options
from enclaver.cli.stages import program
from enclaver.core.version import IMAGE_VERSION


def run() -> None:
    """Parse the arguments and build."""
    options = program.parser(__doc__)
    options.add_argument("--image", type=Path, nargs=2, required=True, help="the docker image's archive and entries")
    options.add_argument("--nitro-cli", type=Path, help="default: the one on PATH")
    options.add_argument("--blobs", type=Path, help="default: NITRO_CLI_BLOBS, or where AWS's package puts them")
    options.add_argument("--manifest", type=Path, required=True)
    options.add_argument("--architecture", choices=("x86_64", "aarch64"), required=True)
    options.add_argument("--output", type=Path, required=True, help="path of the image, without .eif")
    signing_options.add(options)
    args = options.parse_args()
    parsed = manifest.load(args.manifest)
    signer = signing_options.signer(options, args, parsed)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    nitro_builder.build(
        image=tuple(args.image),
        program=args.nitro_cli,
        blobs=args.blobs,
        architecture=args.architecture,
        name=parsed.name,
        version=IMAGE_VERSION,
        memory_mb=parsed.defaults.memory_mb,
        cpus=parsed.defaults.cpu_count,
        signer=signer,
        output=args.output.with_name(args.output.name + ".eif"),
    )


if __name__ == "__main__":
    program.main(run)
