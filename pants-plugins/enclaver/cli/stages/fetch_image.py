"""Fetch a container image, exactly the one that a lock pins, as an archive."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import image_fetch
from enclaver.build.registries import Registries
from enclaver.cli import registry_argument
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and fetch."""
    options = program.parser(__doc__)
    options.add_argument("--lock", type=Path, required=True)
    options.add_argument("--reference", required=True)
    options.add_argument("--architecture", required=True)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--cache", type=Path)
    registry_argument.add(options)
    args = options.parse_args()
    with Registries(insecure=args.insecure_registry) as registries:
        image_fetch.fetch(
            lock=args.lock,
            image=args.reference,
            architecture=args.architecture,
            output=args.output,
            cache=args.cache,
            registries=registries,
            progress=program.say,
        )


if __name__ == "__main__":
    program.main(run)
