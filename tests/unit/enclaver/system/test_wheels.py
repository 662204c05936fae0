"""pip for real, on wheels that the test makes and serves from a folder: no index is asked."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import wheels


def make(folder: Path, tag: str = "py3-none-any") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"enclaver_test_thing-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("enclaver_test_thing.py", "")
        info = "enclaver_test_thing-1.0.dist-info"
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: enclaver-test-thing\nVersion: 1.0\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def lock(path: Path, digest: str) -> Path:
    path.write_text(f"enclaver-test-thing==1.0 \\\n    --hash=sha256:{digest}\n")
    return path


def download(tmp_path: Path, digest: str) -> Path:
    empty = tmp_path / "empty-index"
    empty.mkdir(exist_ok=True)
    output = tmp_path / "out"
    wheels.download(
        lock(tmp_path / "x.lock", digest),
        output,
        indexes=[empty.as_uri()],
        find_links=[str(tmp_path / "served")],
    )
    return output


@pytest.mark.slow
def test_the_wheel_of_the_locks_hash_is_fetched(tmp_path: Path) -> None:
    made = make(tmp_path / "served")
    output = download(tmp_path, hashlib.sha256(made.read_bytes()).hexdigest())
    assert [path.name for path in output.iterdir()] == [made.name]


@pytest.mark.slow
def test_the_working_folder_is_not_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds a build's inputs, whatever they are called."""
    for name in ("pip.py", "email.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    made = make(tmp_path / "served")
    assert len(list(download(tmp_path, hashlib.sha256(made.read_bytes()).hexdigest()).iterdir())) == 1


def test_indexes_and_certificates_are_pips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nprintf '%s \\377\\n' \"$*\"\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("SSL_CERT_FILE", "/certs.pem")
    with pytest.raises(EnclaverError) as caught:
        wheels.download(Path("x.lock"), Path("out"), indexes=["https://a/", "https://b/"], find_links=["/c", "/d"])
    assert "--cert /certs.pem --index-url https://a/ --extra-index-url https://b/ --find-links /c" in str(caught.value)
    assert "--require-hashes" in str(caught.value)
    assert "\ufffd" in str(caught.value)  # What is not UTF-8 is shown as far as it can be.
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(EnclaverError) as caught:
        wheels.download(Path("x.lock"), Path("out"))
    assert "--cert" not in str(caught.value)
    assert "--index-url" not in str(caught.value)


@pytest.mark.slow
def test_another_hash_and_a_compiled_wheel_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "served")
    with pytest.raises(EnclaverError, match="x.lock: pip could not fetch"):
        download(tmp_path, "0" * 64)
    compiled = make(tmp_path / "served", "cp311-cp311-manylinux_2_17_x86_64")
    (tmp_path / "served" / "enclaver_test_thing-1.0-py3-none-any.whl").unlink()
    with pytest.raises(EnclaverError, match="No matching distribution"):
        download(tmp_path, hashlib.sha256(compiled.read_bytes()).hexdigest())
