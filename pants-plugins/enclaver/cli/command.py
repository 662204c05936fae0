"""What every ``enclaver`` command is made of: subcommands that are modules, and errors that become messages.

Exit codes: 0, done; 1, an input or the environment was refused (one message on standard error); 2, the arguments were
wrong; 130, interrupted (SIGTERM does it too). ``enclaver run`` has more, see docs/exit-codes.md.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from enclaver.cli.refusal import refusal
from enclaver.core.errors import EnclaverError
from enclaver.core.version import VERSION

REFUSED: Final = 1
INTERRUPTED: Final = 130

#: Where subcommands are added.
Commands = argparse._SubParsersAction  # It has no public name.


def top(description: str) -> tuple[argparse.ArgumentParser, Commands[argparse.ArgumentParser]]:
    """Return a command's parser, and where its subcommands are to be added."""
    parser = argparse.ArgumentParser(prog="enclaver", description=description, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"enclaver {VERSION}")
    return parser, parser.add_subparsers(metavar="COMMAND", required=True)


def add(commands: Commands[argparse.ArgumentParser], module: ModuleType) -> None:
    """Add a subcommand: a module with ``NAME``, ``HELP``, ``configure`` and ``run``, which comes to be ``command``."""
    # A module that says more than its line in the list sets another description.
    about = f"{module.HELP[0].upper()}{module.HELP[1:]}."
    command = commands.add_parser(module.NAME, help=module.HELP, description=about, allow_abbrev=False)
    module.configure(command)
    command.set_defaults(command=module.run)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that these arguments (default: the process's) name, and return its exit code."""
    _prepare_streams()
    try:
        try:
            with _sigterm_interrupts():
                args = parser.parse_args(argv)
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


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: nothing is half written then. One that is ignored stays so."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _drop_output() -> None:
    """Let output that can't be written go nowhere, or Python would fail on it again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
