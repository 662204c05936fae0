"""The ``enclaver`` command: its subcommands, and the one place where errors become messages and exit codes.

Exit codes: 0, done; 1, an input or the environment was refused (one message on standard error); 2, the arguments were
wrong; 130, interrupted. ``enclaver run`` has more, see docs/exit-codes.md.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from enclaver.cli import describe, lock_debian, run, validate
from enclaver.cli.refusal import refusal
from enclaver.core.errors import EnclaverError
from enclaver.core.version import VERSION

REFUSED: Final = 1
INTERRUPTED: Final = 130
_COMMANDS: Final = (validate, describe, run)
_LOCKS: Final = (lock_debian,)


def parser() -> argparse.ArgumentParser:
    """Return the whole command's parser; each subcommand leaves its function in ``command``."""
    top = argparse.ArgumentParser(
        prog="enclaver",
        description="Builds, describes and runs AWS Nitro Enclaves images.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"enclaver {VERSION}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        _add(commands, module)
    locks = commands.add_parser(
        "lock", help="pin what images are made of", description="Pins what images are made of.", allow_abbrev=False
    )
    kinds = locks.add_subparsers(metavar="KIND", required=True)
    for module in _LOCKS:
        _add(kinds, module)
    return top


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], module: ModuleType) -> None:
    # A module that says more than its line in the list sets another description.
    about = f"{module.HELP[0].upper()}{module.HELP[1:]}."
    command = commands.add_parser(module.NAME, help=module.HELP, description=about, allow_abbrev=False)
    module.configure(command)
    command.set_defaults(command=module.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's) and return its exit code."""
    _prepare_streams()
    try:
        try:
            args = parser().parse_args(argv)
            code: int = args.command(args)
        finally:
            # Python would flush at its end, where an error can't be told any more; after --help too.
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        _drop_output()
        return REFUSED
    except (EnclaverError, OSError) as error:
        print(refusal(error), file=sys.stderr)
        _drop_output()
        return REFUSED
    return code


def _prepare_streams() -> None:
    """Let any text be written: names that are no text as escapes, and what goes to a closed stream to /dev/null."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it is open as long as the process is.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let output that can't be written go nowhere, or Python would fail on it again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
