"""/init as the kernel runs it, but in a pid namespace, where reboot(2) ends the namespace alone."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from enclaver_runtime import init
from tests.unit.enclaver_runtime.isolation import needs_root

SOURCE = Path(init.__file__)
RUNTIME = """
def main():
    {body}
"""


def run(tmp_path: Path, body: str | None) -> tuple[int, str]:
    """Run a copy of init.py as PID 1 with a runtime whose main has ``body``, or without any runtime."""
    if body is not None:
        package = tmp_path / "enclaver_runtime" / "enclave"
        package.mkdir(parents=True)
        (package / "main.py").write_text(RUNTIME.format(body=body))
    text = SOURCE.read_text().replace("/usr/lib/enclaver", str(tmp_path))
    (tmp_path / "init").write_text(text)
    # The namespace's PID 1 is the child that unshare forks; a reboot there ends it by SIGHUP.
    result = subprocess.run(
        ["unshare", "--pid", "--fork", sys.executable, "-IS", tmp_path / "init"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=False,
    )
    return result.returncode, result.stdout.decode()


#: What unshare(1) makes of its child's end by SIGHUP: it dies of the same signal, or reports it as a shell does.
REBOOTED = (-signal.SIGHUP, 128 + signal.SIGHUP)


def test_the_source_is_what_the_kernel_can_execute() -> None:
    assert SOURCE.read_text().splitlines()[0] == "#!/usr/bin/python3.11 -IS"


@needs_root
def test_the_runtime_is_run_isolated_and_the_power_goes_off(tmp_path: Path) -> None:
    code, output = run(
        tmp_path, "import os, sys; print(os.getpid(), sys.flags.isolated, sys.flags.no_site, flush=True)"
    )
    assert code in REBOOTED
    assert output == "1 1 1\n"
    assert not list(tmp_path.rglob("*.pyc"))


@needs_root
@pytest.mark.parametrize("body", ["raise ValueError('br\u00f6ken')", "raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_a_runtime_that_breaks_has_its_traceback_told(tmp_path: Path, body: str) -> None:
    code, output = run(tmp_path, body)
    assert code in REBOOTED
    assert output.startswith("enclaver: the runtime failed\nTraceback")
    assert output.isascii()


@needs_root
def test_a_runtime_that_is_missing(tmp_path: Path) -> None:
    code, output = run(tmp_path, None)
    assert code in REBOOTED
    assert "ModuleNotFoundError: No module named 'enclaver_runtime'" in output


def test_standard_files_are_opened_when_the_kernel_gave_none(tmp_path: Path) -> None:
    script = f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import init; init._open_standard_files()"
    check = "import os; assert all(os.fstat(fd) for fd in (0, 1, 2)); os._exit(5)"
    command = f'exec {sys.executable} -IS -c "{script}; {check}" <&- >&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 5
    assert stat.S_ISDIR(os.stat("/").st_mode)
