"""build-support/test-summary: what a submission's last lines say must be true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "build-support" / "test-summary"


def case(name: str, *inside: str) -> str:
    return f'<testcase classname="tests.x" name="{name}">{"".join(inside)}</testcase>'


def report(folder: Path, name: str, *cases: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")


def summary(folder: Path) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_reports_are_added_up_and_what_did_not_pass_is_named(tmp_path: Path) -> None:
    report(tmp_path, "a.xml", case("one"), case("two", '<skipped message="no qemu"/>'))
    report(tmp_path, "below/b.xml", case("three"), case("four", "<system-out>x</system-out>"))
    assert summary(tmp_path) == (0, ["skipped: tests.x.two: no qemu", "3 passed, 0 failed, 1 skipped"])


@pytest.mark.parametrize("how", ["<failure/>", "<error/>", '<skipped message="x"/><error/>'])
def test_a_failure_and_an_error_fail(tmp_path: Path, how: str) -> None:
    report(tmp_path, "a.xml", case("one"), case("two", how))
    assert summary(tmp_path) == (1, ["failed: tests.x.two", "1 passed, 1 failed, 0 skipped"])


def test_nothing_that_passed_is_no_success(tmp_path: Path) -> None:
    assert summary(tmp_path) == (1, ["0 passed, 0 failed, 0 skipped"])
    report(tmp_path, "a.xml", case("one", '<skipped message="x"/>'))
    assert summary(tmp_path)[0] == 1


def test_a_report_that_is_cut_short_fails(tmp_path: Path) -> None:
    report(tmp_path, "a.xml", case("one"))
    (tmp_path / "b.xml").write_text("<testsuites><testsuite>" + case("two"))
    code, lines = summary(tmp_path)
    assert (code, lines[-1]) == (1, "1 passed, 1 failed, 0 skipped")
    assert lines[0].startswith("failed: b.xml: no report: ")


def test_a_folder_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    code, (line,) = summary(tmp_path / "gone")
    assert (code, line.startswith("usage: ")) == (1, True)
