"""Release files: what they pin, whose they are, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from enclaver.core.debian import release
from enclaver.core.errors import EnclaverError
from tests import fake_debian

FILE = "http://mirror.example.com/debian/dists/bookworm/InRelease"


def parse(text: str, suite: str = "bookworm", archive: str = "debian") -> release.Release:
    return release.parse(text, suite=suite, archive=archive, file=FILE)


def test_what_a_release_file_says() -> None:
    found = parse(fake_debian.release("bookworm", b"index", extra="Valid-Until: Sat, 28 Nov 2026 00:53:02 UTC\n"))
    assert found.valid_until == datetime(2026, 11, 28, 0, 53, 2, tzinfo=timezone.utc)
    assert found.by_hash
    index = release.packages_index(found, component="main", architecture="amd64", file=FILE)
    assert (index.path, index.size) == ("main/binary-amd64/Packages.xz", 5)
    with pytest.raises(EnclaverError, match=r"bookworm has no main/binary-arm64/Packages\.xz"):
        release.packages_index(found, component="main", architecture="arm64", file=FILE)


def test_a_suite_may_be_asked_for_by_either_name() -> None:
    text = fake_debian.release("bookworm", b"")
    assert parse(text, "oldstable").suite == "oldstable"


def test_another_suites_file_is_refused() -> None:
    with pytest.raises(EnclaverError, match="this is the Release file of bookworm / oldstable, not of trixie"):
        parse(fake_debian.release("bookworm", b""), "trixie")


def test_another_archives_file_is_refused() -> None:
    with pytest.raises(EnclaverError, match="of Debian-Security, not of the archive debian"):
        parse(fake_debian.release("bookworm", b"", label="Debian-Security"))
    with pytest.raises(EnclaverError, match="of Debian, not of the archive debian-security"):
        parse(fake_debian.release("bookworm", b""), archive="debian-security")


def test_a_file_without_digests_is_refused() -> None:
    with pytest.raises(EnclaverError, match="lists no SHA256 digests"):
        parse("Codename: bookworm\nLabel: Debian\nMD5Sum:\n 0 0 main/binary-amd64/Packages.xz\n")


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(EnclaverError, match="Valid-Until 'tomorrow' is not a date"):
        parse(fake_debian.release("bookworm", b"", extra="Valid-Until: tomorrow\n"))


def test_validity() -> None:
    ends = datetime(2026, 11, 28, 0, 53, 2, tzinfo=timezone.utc)
    found = parse(fake_debian.release("bookworm", b"", extra="Valid-Until: Sat, 28 Nov 2026 00:53:02 UTC\n"))
    release.check_valid(found, ends, file=FILE)
    with pytest.raises(EnclaverError, match=r"of bookworm expired at 2026-11-28 00:53 UTC(.|\n)*--allow-expired"):
        release.check_valid(found, ends + timedelta(seconds=1), file=FILE)
    release.check_valid(parse(fake_debian.release("bookworm", b"")), ends, file=FILE)
