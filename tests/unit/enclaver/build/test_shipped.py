from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from enclaver.build import shipped
from enclaver.core.debian import lock as debian_lock
from enclaver.core.errors import EnclaverError


@pytest.mark.parametrize(
    "name",
    [
        *("kernel-toolchain.amd64", "runtime.amd64", "runtime.arm64"),
        *("runner.amd64", "runner.arm64", "runner-emulator.amd64"),
    ],
)
def test_the_locks_of_a_release_are_there_and_sound(name: str) -> None:
    assert debian_lock.load(shipped.lock(f"{name}.lock.json")).packages


def test_a_lock_that_is_missing_is_the_installations_fault() -> None:
    with pytest.raises(EnclaverError, match="this installation of enclaver has no enclaver.locks/gone"):
        shipped.lock("gone.lock.json")


def test_sources_are_copied_without_what_lies_beside_them(tmp_path: Path) -> None:
    folder = shipped.sources(shipped.RUNTIME, tmp_path / "out")
    copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "enclaver_runtime/init.py" in copied
    assert "enclaver_runtime/enclave/boot.py" in copied
    assert all(path.endswith(".py") for path in copied)
    spec = importlib.util.find_spec("enclaver_runtime.init")
    assert spec is not None
    assert spec.origin is not None
    assert (folder / "enclaver_runtime/init.py").read_bytes() == Path(spec.origin).read_bytes()


def test_what_is_not_installed_is_the_installations_fault(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="has no enclaver_gone"):
        shipped.sources("enclaver_gone", tmp_path)


def test_the_fingerprint_is_of_every_source_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "made" / "enclaver_made"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    (package / "part.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(shipped, "TOOL", "enclaver_made")
    first = shipped.fingerprint()
    (package / "notes.txt").write_text("no source\n")
    assert shipped.fingerprint() == first
    (package / "part.py").write_text("y = 2\n")
    second = shipped.fingerprint()
    (package / "part.py").rename(package / "other.py")
    assert len({first, second, shipped.fingerprint()}) == 3
