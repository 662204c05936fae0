"""`./pants run` of the example: packaged, booted, reached on the mapped port, and ended as a terminal ends it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.integration.leftovers import assert_nothing_is_left
from tests.integration.runtime.booted import PATIENCE, get, started
from tests.integration.tools import require

pytestmark = pytest.mark.slow
PARTS = ("pants", "pants.toml", "pyproject.toml", "BUILD", "3rdparty", "examples", "pants-plugins", "runtime")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own: where a test of Pants' runs, there are links that another Pants cannot read."""
    for part in PARTS:
        source = Path(part).absolute()
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / part)
    return tmp_path


def test_hello_serves_on_the_mapped_port_from_inside_the_emulated_enclave(checkout: Path) -> None:
    require("qemu-nitro")
    require("vhost-device-vsock")
    command = [
        "env",
        "-C",
        str(checkout),
        "./pants",
        "run",
        "examples/hello:enclave",
        "--",
        "--emulate",
        "-p",
        "127.0.0.1:0:8000",
    ]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        with started(command, TMPDIR=folder, PANTS_PANTSD="false", PANTS_DYNAMIC_UI="false") as runner:
            answer = get(runner.url(8000))
            runner.wait_for_log("^hello from the enclave")
            os.killpg(runner.process.pid, signal.SIGINT)
            ended = runner.wait()
        told = json.loads(answer.body)
        assert (told["message"], told["uid"]) == ("hello from the enclave", 1000)
        assert "PROTECTS NOTHING" in ended.said
        # Of the enclave's; an interrupted Pants leaves folders of its own.
        assert_nothing_is_left(Path(folder), "enclaver-run-*", patience=PATIENCE)
