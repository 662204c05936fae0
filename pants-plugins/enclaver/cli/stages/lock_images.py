"""Pin the container images that manifests are built from."""

from __future__ import annotations

from pathlib import Path

from enclaver.build import image_lock
from enclaver.build.registries import Registries
from enclaver.cli import registry_argument
from enclaver.cli.stages import program
from enclaver.core.oci import image_lock as lock_format
from enclaver.system.atomic import atomic_output


def run() -> None:
    """Parse the arguments and pin them."""
    options = program.parser(__doc__)
    options.add_argument("--manifest", type=Path, action="append", default=[])
    options.add_argument("--existing", type=Path)
    options.add_argument("--architecture", action="append", required=True)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--upgrade", action="store_true")
    registry_argument.add(options)
    args = options.parse_args()
    with Registries(insecure=args.insecure_registry) as registries:
        lock = image_lock.update(
            existing=args.existing,
            images=image_lock.referred_to(args.manifest),
            architectures=args.architecture,
            registries=registries,
            upgrade=args.upgrade,
            progress=program.say,
        )
    with atomic_output(args.output) as out:
        out.write(lock_format.render(lock))


if __name__ == "__main__":
    program.main(run)
