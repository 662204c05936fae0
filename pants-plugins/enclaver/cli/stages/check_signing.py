"""Check that an image can be signed, before anything of it is built."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from enclaver.build import manifest, signing
from enclaver.cli.stages import program


def run() -> None:
    """Parse the arguments and check; nothing is left behind."""
    options = program.parser(__doc__)
    options.add_argument("--manifest", type=Path, required=True)
    options.add_argument("--certificate", type=Path, required=True, help="a PEM file")
    # As in the image stage: a file of the key's stays outside of the sandbox, so that it gets into no cache.
    options.add_argument("--key", required=True, help="the path of a PEM file, or the ARN of a KMS key")
    args = options.parse_args()
    # An answer of today's says nothing of tomorrow: whoever runs this keeps it for one build at most.
    signing.load(manifest.load(args.manifest), args.certificate, args.key, now=datetime.now(UTC))


if __name__ == "__main__":
    program.main(run)
