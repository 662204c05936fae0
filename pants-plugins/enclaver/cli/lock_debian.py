"""``enclaver lock debian``: resolve packages to a lock, from indexes that Debian signed."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timezone
from pathlib import Path

from enclaver.build import debian
from enclaver.core.debian import lock as lock_format
from enclaver.system.atomic import atomic_output
from enclaver.system.gpgv import DEBIAN_KEYRING

NAME = "debian"
HELP = "pin Debian packages and all they depend on, by hash"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = (
        "Resolves the packages' dependencies from the signed indexes of the suite, its updates and its security "
        "updates, and writes a lock: name, version, pool path, sha256 and size of each. Recommended and essential "
        "packages are not implied."
    )
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="a package, or PACKAGE=VERSION")
    parser.add_argument("--suite", required=True, help="Debian's codename, such as bookworm")
    parser.add_argument(
        "--arch", required=True, choices=lock_format.ARCHITECTURES, help="Debian's name of the architecture"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the lock to write")
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="a mirror to ask before this machine's own apt sources; a folder that holds debian/ and "
        "debian-security/, one of the two, or ARCHIVE=URL (may be given several times)",
    )
    parser.add_argument(
        "--component",
        action="append",
        metavar="NAME",
        help="a component to look in (may be given several times; default: main)",
    )
    parser.add_argument(
        "--keyring", type=Path, default=DEBIAN_KEYRING, metavar="FILE", help="the archive's keys (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-expired", action="store_true", help="accept indexes that are past their Valid-Until date"
    )


def run(args: argparse.Namespace) -> int:
    """Write the lock. Raises EnclaverError; then the output is as it was."""
    request = debian.LockRequest(
        suite=args.suite,
        architecture=args.arch,
        packages=tuple(args.packages),
        mirrors=tuple(args.mirror),
        components=tuple(args.component or ["main"]),
        keyring=args.keyring,
        now=datetime.now(timezone.utc),
        allow_expired=args.allow_expired,
    )
    lock = debian.lock(request, lambda line: print(line, file=sys.stderr))
    with atomic_output(args.output) as out:
        out.write(lock_format.render(lock))
    size = sum(package.size for package in lock.packages)
    print(f"{args.output}: {len(lock.packages)} packages, {size / 1e6:.1f} MB", file=sys.stderr)
    return 0
