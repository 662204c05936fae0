from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enclaver.build import debian, default_kernel, kernel, kernel_source, shipped
from enclaver.core.errors import EnclaverError


class Builds:
    """Stands in for what takes minutes; the kernel's own tests are tests/integration/spine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[dict[str, Any]] = []
        self.fails = False
        monkeypatch.setattr(debian, "fetch", lambda **_: [])
        monkeypatch.setattr(kernel_source, "fetch", lambda *, output, **_: output / "source.deb")
        monkeypatch.setattr(kernel, "build", self.build)

    def build(self, *, output: Path, config: Path, **given: Any) -> None:
        assert config.read_bytes() == shipped.lock("kernel.x86_64.config").read_bytes()
        self.made.append({"output": output, "config": config.name, **given})
        if self.fails:
            raise EnclaverError("no")
        output.mkdir()


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    return Builds(monkeypatch)


def ask(cache: Path, architecture: str = "x86_64") -> Path:
    return default_kernel.default_kernel(architecture=architecture, cache=cache, mirrors=(), progress=lambda _: None)


def test_a_kernel_is_built_once(tmp_path: Path, builds: Builds) -> None:
    first = ask(tmp_path)
    assert ask(tmp_path) == first
    assert len(builds.made) == 1
    # What a kernel's record calls its configuration is the same under Pants.
    assert builds.made[0]["config"] == "kernel.config"
    assert [path for path in (tmp_path / "kernels").iterdir() if path.is_dir()] == [first]


def test_another_release_builds_another(tmp_path: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(tmp_path)
    monkeypatch.setattr(shipped, "fingerprint", lambda: "other")
    assert ask(tmp_path) != first
    assert len(builds.made) == 2


def test_a_build_that_failed_is_done_again(tmp_path: Path, builds: Builds) -> None:
    builds.fails = True
    with pytest.raises(EnclaverError, match="no"):
        ask(tmp_path)
    builds.fails = False
    assert ask(tmp_path).is_dir()


def test_an_architecture_that_has_none_is_refused_with_what_to_do(tmp_path: Path, builds: Builds) -> None:
    with pytest.raises(EnclaverError, match=r"no kernel for aarch64(.|\n)*--kernel"):
        ask(tmp_path, "aarch64")
    assert not builds.made
