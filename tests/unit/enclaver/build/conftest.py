"""Where images come from in these tests: a daemon and a registry that are played, and a daemon that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fake_docker, fake_registry
from tests.fake_docker import FakeDaemon
from tests.fake_registry import FakeRegistry


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with fake_registry.serving() as found:
        yield found


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with fake_docker.serving() as found:
        monkeypatch.setenv("DOCKER_HOST", found.host)
        yield found


@pytest.fixture
def _no_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
