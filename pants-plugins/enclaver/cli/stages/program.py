"""How every stage starts and ends: arguments in, one clear message and exit code 1 when it refuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from enclaver.cli.refusal import refusal
from enclaver.core.errors import EnclaverError


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a stage's argument parser; prefixes of options are no options."""
    return argparse.ArgumentParser(description=doc, allow_abbrev=False)


def tree_argument(option: argparse.ArgumentParser) -> None:
    """Add --tree and --entries: an intermediate tree."""
    option.add_argument("--tree", type=Path, required=True)
    option.add_argument("--entries", type=Path, required=True)


def output_argument(option: argparse.ArgumentParser) -> None:
    """Add --cpio and --cpio-entries: the ramdisk to write."""
    option.add_argument("--cpio", type=Path, required=True)
    option.add_argument("--cpio-entries", type=Path, required=True)


def only_file(folder: Path) -> Path:
    """Return the one file that a stage before left in a folder.

    Raises:
        EnclaverError: it holds none, or more.
    """
    found = sorted(folder.iterdir())
    if len(found) != 1:
        raise EnclaverError(f"holds {len(found)} files, not 1", file=str(folder), cure="Fetch into a new folder.")
    return found[0]


def fetch_arguments(doc: str | None) -> argparse.Namespace:
    """Parse what a stage is given that fetches from Debian's archive: --lock, --output, --cache and --mirror."""
    options = parser(doc)
    options.add_argument("--lock", type=Path, required=True)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--mirror", action="append", default=[])
    return options.parse_args()


def say(line: str) -> None:
    """Report progress on standard output, a line at once: what is on standard error is the refusal alone."""
    print(line, flush=True)


@contextmanager
def reporter(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield a function that reports a line at once: on standard output, and at the end of a file if one is given."""
    if path is None:
        yield say
        return
    with path.open("a", encoding="utf-8", buffering=1) as file:

        def both(line: str) -> None:
            say(line)
            file.write(line + "\n")

        yield both


def main(run: Callable[[], None]) -> None:
    """Run a stage and exit: 0, or 1 with the message of what it refused."""
    try:
        run()
    except (EnclaverError, OSError) as error:
        print(refusal(error), file=sys.stderr)
        sys.exit(1)
