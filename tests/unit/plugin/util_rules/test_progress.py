from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from enclaver.util_rules import progress


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / progress.CACHE / progress.FILE
    path.parent.mkdir()
    path.write_text("before\n")
    return path


def test_whole_lines_are_logged_once_by_one_follower(
    tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log_level = caplog.at_level(logging.INFO)
    with log_level, progress.followed(str(tmp_path)), progress.followed(str(tmp_path)), log.open("a") as file:
        file.write("kernel: compiling\nkernel: li")
        file.flush()
        time.sleep(2 * progress._INTERVAL_SECONDS)
        file.write("nking\n")
        file.flush()
    assert caplog.messages == ["kernel: compiling", "kernel: linking"]


def test_without_a_file_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), progress.followed(str(tmp_path)):
        pass
    assert caplog.messages == []


def test_a_file_that_was_emptied_is_read_from_its_start(
    tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), progress.followed(str(tmp_path)):
        log.write_text("new\n")
    assert caplog.messages == ["new"]


def test_following_ends_with_the_stage(tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        with pytest.raises(RuntimeError), progress.followed(str(tmp_path)):
            raise RuntimeError
        with progress.followed(str(tmp_path)), log.open("a") as file:
            file.write("again\n")
    assert caplog.messages == ["again"]
