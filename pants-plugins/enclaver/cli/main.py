"""The ``enclaver`` command: its subcommands. How they start and end is ``command``'s."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from enclaver.cli import build, command, describe, lock_debian, lock_images, push, run, validate

_COMMANDS: Final = (validate, build, push, run, describe)
_LOCKS: Final = (lock_debian, lock_images)


def parser() -> argparse.ArgumentParser:
    """Return the whole command's parser; each subcommand leaves its function in ``command``."""
    top, commands = command.top("Builds, describes and runs AWS Nitro Enclaves images.")
    for module in _COMMANDS:
        command.add(commands, module)
    locks = commands.add_parser(
        "lock", help="pin what images are made of", description="Pins what images are made of.", allow_abbrev=False
    )
    kinds = locks.add_subparsers(metavar="KIND", required=True)
    for module in _LOCKS:
        command.add(kinds, module)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's) and return its exit code."""
    return command.execute(parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
