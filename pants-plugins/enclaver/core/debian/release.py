"""The Release file of a suite: what it says it is, until when, and the digests of its indexes.

Source: the Debian repository format (deb822 fields; SHA256 lists ``digest size path``). The text must come out
of a signature check: this module reads, it does not verify.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from debian.deb822 import Deb822

from enclaver.core.errors import EnclaverError

_SHA256_LINE: Final = re.compile(r"([0-9a-f]{64})\s+([0-9]+)\s+(\S+)")
# Origins under which Debian signs; the keyring decides who may sign, this decides what may be served as what.
_ARCHIVE_LABELS: Final = {"debian": ("Debian", "Debian Backports"), "debian-security": ("Debian-Security",)}


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index as a Release file pins it: path below dists/SUITE/, sha256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Release:
    """The verified Release file of one suite."""

    suite: str
    label: str
    valid_until: datetime | None
    architectures: tuple[str, ...]
    by_hash: bool
    indexes: Mapping[str, IndexFile]


def parse(text: str, *, suite: str, archive: str, file: str) -> Release:
    """Read the verified text of an InRelease file.

    ``suite`` and ``archive`` are what was asked for: a Release file of another suite or archive, though well
    signed, is refused, since a mirror must not be able to swap them. Raises EnclaverError.
    """
    fields = Deb822(text)
    names = {str(fields.get("Codename", "")), str(fields.get("Suite", ""))}
    if suite not in names:
        raise EnclaverError(
            f"this is the Release file of {' / '.join(sorted(names))}, not of {suite}",
            file=file,
            cure="Use another mirror; this one serves a wrong file.",
        )
    label = str(fields.get("Label", ""))
    if label not in _ARCHIVE_LABELS[archive]:
        raise EnclaverError(
            f"this is the Release file of {label or 'an archive without a label'}, not of the archive {archive}",
            file=file,
            cure=f"Use a mirror of Debian's {archive} archive.",
        )
    indexes: dict[str, IndexFile] = {}
    for line in str(fields.get("SHA256", "")).splitlines():
        match = _SHA256_LINE.fullmatch(line.strip())
        if match:
            indexes[match[3]] = IndexFile(match[3], match[1], int(match[2]))
    if not indexes:
        raise EnclaverError(
            "the Release file lists no SHA256 digests", file=file, cure="Use another mirror of the archive."
        )
    return Release(
        suite=suite,
        label=label,
        valid_until=_date(fields.get("Valid-Until"), file),
        architectures=tuple(str(fields.get("Architectures", "")).split()),
        by_hash=str(fields.get("Acquire-By-Hash", "")).lower() == "yes",
        indexes=indexes,
    )


def _date(value: str | None, file: str) -> datetime | None:
    if value is None:
        return None
    try:
        # "UTC" as a zone name is read as an unknown zone, which email.utils treats as UTC without saying so.
        return email.utils.parsedate_to_datetime(value.replace("UTC", "+0000"))
    except (TypeError, ValueError) as error:
        raise EnclaverError(
            f"Valid-Until {value!r} is not a date", file=file, cure="Use another mirror of the archive."
        ) from error


def check_valid(release: Release, now: datetime, *, file: str) -> None:
    """Refuse an expired Release file: an old one may hide security updates. ``now`` carries a time zone."""
    if release.valid_until is not None and now > release.valid_until:
        raise EnclaverError(
            f"the Release file of {release.suite} expired at {release.valid_until:%Y-%m-%d %H:%M} UTC",
            file=file,
            cure="Use a mirror that is up to date, check this machine's clock, or accept it with --allow-expired.",
        )


def packages_index(release: Release, *, component: str, architecture: str, file: str) -> IndexFile:
    """The xz-compressed Packages index of a component and architecture. Raises EnclaverError."""
    path = f"{component}/binary-{architecture}/Packages.xz"
    index = release.indexes.get(path)
    if index is None:
        # The security archive of old names its components updates/main in the Release file's header only.
        raise EnclaverError(
            f"{release.suite} has no {path}",
            file=file,
            cure=f"Choose a component it has; its architectures are {', '.join(release.architectures)}.",
        )
    return index
