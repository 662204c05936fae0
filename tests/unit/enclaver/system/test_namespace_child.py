"""The pieces of the process inside that need no namespaces; the real runs are in tests/integration/spine."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from enclaver.system import namespace_child
from enclaver.system.namespace_child import StepError, call, mount, step, tell


def test_a_system_error_gets_the_name_of_its_step() -> None:
    with pytest.raises(StepError) as caught, step("mount /dev"):
        os.open("/nowhere/at/all", os.O_RDONLY)
    assert (caught.value.step, caught.value.number) == ("mount /dev", errno.ENOENT)


def test_an_inner_step_keeps_its_name() -> None:
    with pytest.raises(StepError) as caught, step("unshare"), step("uid_map"):
        raise PermissionError(errno.EPERM, "no")
    assert caught.value.step == "uid_map"


def test_a_failing_call_has_its_errno() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        call("fchdir", -1)


def test_mount_takes_paths_of_any_bytes() -> None:
    with pytest.raises(OSError, match=r"No such file|not permitted"):
        mount("none", "/nowhere/\udcff", None, namespace_child.MS_BIND)


def test_the_report_is_a_line_of_json() -> None:
    read, write = os.pipe()
    tell(write, returncode=-9)
    os.close(write)
    with os.fdopen(read) as report:
        assert json.loads(report.read()) == {"returncode": -9}


def test_it_runs_alone_and_ends_quietly_without_orders() -> None:
    # As namespaces._start runs it: the text alone, without this project on the path.
    text = Path(namespace_child.__file__).read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
