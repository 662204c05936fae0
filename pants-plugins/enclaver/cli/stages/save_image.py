"""Take a container image from the docker daemon, by its id, as an archive."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import daemon_image
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and take it."""
    options = program.parser(__doc__)
    options.add_argument("--image-id", required=True)
    options.add_argument("--output", type=Path, required=True)
    args = options.parse_args()
    daemon_image.save_image(args.image_id, args.output)


if __name__ == "__main__":
    program.main(run)
