"""``enclaver lock debian``: its arguments, its output, and no output on an error."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from enclaver.cli import lock_debian
from enclaver.core.debian import lock as lock_format
from enclaver.core.errors import EnclaverError
from enclaver.system import apt
from tests import fake_debian


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that make the command use an archive of one package."""
    keyring = fake_debian.trusting_gpgv(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path}/programs:{os.environ['PATH']}")
    monkeypatch.setattr(apt, "sources", list)
    mirror = tmp_path / "mirror"
    stanza = fake_debian.stanza(fake_debian.package("dash", b"deb"))
    fake_debian.write_archive(mirror / "debian", "bookworm", [stanza])
    fake_debian.write_archive(mirror / "debian", "bookworm-updates", [])
    fake_debian.write_archive(mirror / "debian-security", "bookworm-security", [], label="Debian-Security")
    return [
        *("--suite", "bookworm", "--arch", "amd64", "--mirror", f"file://{mirror}", "--keyring", str(keyring)),
        *("--output", str(tmp_path / "x.lock.json")),
    ]


def run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    lock_debian.configure(parser)
    return lock_debian.run(parser.parse_args(arguments))


def test_a_lock_is_written(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "dash"]) == 0
    found = lock_format.load(tmp_path / "x.lock.json")
    assert [package.label for package in found.packages] == ["dash=1.0"]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "bookworm-security: signature is good" in shown.err
    assert "x.lock.json: 1 packages, 0.0 MB" in shown.err


def test_an_error_leaves_the_old_lock(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.lock.json").write_text("old")
    with pytest.raises(EnclaverError, match="there is no package bash for amd64\n  The nearest names are dash"):
        run([*arguments, "bash"])
    assert (tmp_path / "x.lock.json").read_text() == "old"


def test_the_architectures_name_is_debians(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run([*arguments, "dash", "--arch", "x86_64"])
    assert "invalid choice: 'x86_64'" in capsys.readouterr().err


def test_it_says_where_it_belongs() -> None:
    assert lock_debian.NAME == "debian"
