from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import nitro_cli
from tests.unit.enclaver.system import nitro_stand_in


@pytest.fixture(autouse=True)
def _x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    eif, says = tmp_path / "eif", tmp_path / "says"
    eif.write_bytes(b"an image")
    says.write_text('{"Measurements": {}}\n')
    (tmp_path / "scratch").mkdir()
    return eif, says


def build(tmp_path: Path, program: Path, patience: float = 60) -> tuple[Path, Path]:
    return nitro_cli.build_enclave(
        program,
        docker_image="enclaver-build-1:latest",
        blobs=tmp_path / "blobs",
        name="hello",
        version="1.0",
        scratch=tmp_path / "scratch",
        environment={"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///x", "HOME": "/root"},
        patience=patience,
    )


def test_what_it_is_asked_for_and_what_it_leaves(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    eif, measured = build(tmp_path, nitro_stand_in.make(tmp_path, eif=parts[0], says=parts[1]))
    assert (eif.read_bytes(), measured.read_text()) == (b"an image", '{"Measurements": {}}\n')
    scratch = str(tmp_path / "scratch")
    assert json.loads((tmp_path / "call").read_text()) == {
        "command": "build-enclave",
        "--docker-uri": "enclaver-build-1:latest",
        "--output-file": str(eif),
        "--name": "hello",
        "--version": "1.0",
        "DOCKER_HOST": "unix:///x",
        # Nothing is written outside of the scratch folder.
        "HOME": scratch,
        "TMPDIR": scratch,
        "NITRO_CLI_ARTIFACTS": scratch,
        "NITRO_CLI_LOGS_PATH": f"{scratch}/logs",
        "NITRO_CLI_BLOBS": str(tmp_path / "blobs"),
    }


def test_a_failure_is_explained_by_its_log(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    fails = """
logs = os.environ["NITRO_CLI_LOGS_PATH"]
open(logs + "/err2026.log", "w").write("  Subactions:\\n    Failed to create EIF image: InitPathError\\n")
print("[ E48 ] EIF building error.\\n\\nFor more details", file=sys.stderr)
sys.exit(48)
"""
    program = nitro_stand_in.make(tmp_path, eif=parts[0], says=parts[1], then=fails)
    with pytest.raises(EnclaverError, match=r"failed \(E48\): the blobs folder has no init"):
        build(tmp_path, program)


def test_one_that_never_ends_is_ended_with_its_children(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    hangs = f"""
child = os.fork()
if child:
    open({str(tmp_path / "child")!r}, "w").write(str(child))
time.sleep(60)
"""
    program = nitro_stand_in.make(tmp_path, eif=parts[0], says=parts[1], then=hangs)
    with pytest.raises(EnclaverError, match="was not done after 1 s"):
        build(tmp_path, program, patience=1)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 5
    while running(child) and time.monotonic() < end:
        time.sleep(0.01)
    assert not running(child)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_the_program_is_the_chosen_one_or_the_one_on_path(
    tmp_path: Path, parts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = nitro_stand_in.make(tmp_path, eif=parts[0], says=parts[1])
    assert nitro_cli.find(program) == program
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nitro_cli.find() == program
    assert nitro_cli.version(program) == "Nitro CLI 1.5.2"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnclaverError, match="nitro-cli was not found"):
        nitro_cli.find()
    with pytest.raises(EnclaverError, match=f"{tmp_path}/other was not found"):
        nitro_cli.find(tmp_path / "other")


@pytest.mark.parametrize("text", ["#!/bin/sh\n", "#!/bin/sh\necho 1; exit 1\n"])
def test_a_program_that_does_not_tell_its_version(tmp_path: Path, text: str) -> None:
    program = tmp_path / "nitro-cli"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(EnclaverError, match="does not tell its version"):
        nitro_cli.version(program)
    program.write_text("#!/no/such/interpreter\n")
    with pytest.raises(EnclaverError, match="does not run"):
        nitro_cli.version(program)


def test_where_the_blobs_are(tmp_path: Path) -> None:
    assert nitro_cli.blobs_folder(tmp_path, {"NITRO_CLI_BLOBS": "/x"}) == tmp_path
    assert nitro_cli.blobs_folder(None, {"NITRO_CLI_BLOBS": "/x"}) == Path("/x")
    assert nitro_cli.blobs_folder(None, {}) == Path("/usr/share/nitro_enclaves/blobs")


def test_blobs_that_are_all_there(tmp_path: Path) -> None:
    folder = nitro_stand_in.make_blobs(tmp_path / "blobs", b"kernel")
    assert nitro_cli.check_blobs(folder, "x86_64") == ("init", "nsm.ko", "linuxkit")


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = nitro_stand_in.make_blobs(tmp_path / "blobs", b"kernel")
    for name in ("init", "bzImage.config"):
        (folder / name).unlink()
    with pytest.raises(
        EnclaverError, match=r"blobs: .*no bzImage\.config, no init\n.*as the kernel or in NITRO_CLI_BLOBS"
    ):
        nitro_cli.check_blobs(folder, "x86_64")
    with pytest.raises(EnclaverError, match="no bzImage, no"):
        nitro_cli.check_blobs(tmp_path / "nowhere", "x86_64")


def test_a_linuxkit_that_is_no_program(tmp_path: Path) -> None:
    folder = nitro_stand_in.make_blobs(tmp_path / "blobs", b"kernel")
    (folder / "linuxkit").chmod(0o644)
    with pytest.raises(EnclaverError, match="linuxkit: is no executable"):
        nitro_cli.check_blobs(folder, "x86_64")


def test_an_image_for_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="for the machine that it runs on, x86_64, and none for aarch64"):
        nitro_cli.check_blobs(tmp_path, "aarch64")
