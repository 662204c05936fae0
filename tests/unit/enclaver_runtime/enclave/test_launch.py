from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from enclaver_runtime.config import App
from enclaver_runtime.enclave import launch as launching
from enclaver_runtime.enclave.launch import LaunchError, launch
from enclaver_runtime.enclave.reaper import Reaper
from tests.unit.enclaver_runtime.isolation import in_child, needs_root

pytestmark = needs_root

USER = 54321


def run(
    *argv: str,
    root: str = "/",
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    uid: int = USER,
    ignore: signal.Signals | None = None,
) -> tuple[int, bytes]:
    """Launch a program in a child of the test; its wait status and its output."""
    app = App(argv=argv, env=env or {}, cwd=cwd, uid=uid, gid=uid)

    async def main() -> tuple[int, bytes]:
        reaper = Reaper()
        pipe, output = os.pipe()
        async with trio.open_nursery() as nursery:
            await nursery.start(reaper.run)
            try:
                child = await launch(app, root=root, output=output, reaper=reaper)
            except LaunchError as error:
                nursery.cancel_scope.cancel()
                return -1, str(error).encode()
            os.close(output)
            data = b""
            async with trio.lowlevel.FdStream(pipe) as stream:
                async for piece in stream:
                    data += piece
            status = await child.wait()
            nursery.cancel_scope.cancel()
        return status, data

    def scenario() -> tuple[int, bytes]:
        if ignore is not None:
            signal.signal(ignore, signal.SIG_IGN)
        return trio.run(main)

    return in_child(scenario)


def test_output_error_and_exit_code() -> None:
    status, data = run("/bin/sh", "-c", "echo out; echo error >&2; exit 42")
    assert os.WEXITSTATUS(status) == 42
    assert data == b"out\nerror\n"


def test_end_by_a_signal() -> None:
    status, _ = run("/bin/sh", "-c", "kill -9 $$")
    assert os.WTERMSIG(status) == 9


def test_the_environment_is_the_apps_alone() -> None:
    assert run("/usr/bin/env", env={"A": "\udcff b"}) == (0, b"A=\xff b\n")


def test_a_name_without_a_slash_is_found_in_the_apps_path() -> None:
    assert run("echo", "hi", env={"PATH": "/nowhere:/bin"}) == (0, b"hi\n")


@pytest.mark.parametrize(("runtimes", "apps"), [("-1000\n", "0"), ("0\n", "0\n"), ("900\n", "900\n")])
def test_what_spares_the_runtime_when_memory_ends_does_not_spare_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtimes: str, apps: str
) -> None:
    # A file in its place: a container may lack the capability to set such a score.
    score = tmp_path / "oom_score_adj"
    score.write_text(runtimes)
    monkeypatch.setattr(launching, "OOM_SCORE", str(score))
    run("/bin/true")
    assert score.read_text() == apps


def test_the_working_folder() -> None:
    assert run("/bin/pwd", cwd="/usr/bin") == (0, b"/usr/bin\n")


def test_who_it_is_and_what_it_may() -> None:
    status, data = run("/bin/cat", "/proc/self/status")
    assert status == 0
    fields = dict(line.split(":", 1) for line in data.decode().splitlines())
    assert fields["Uid"].split() == [str(USER)] * 4
    assert fields["Gid"].split() == [str(USER)] * 4
    assert fields["Groups"].split() == []
    assert fields["NoNewPrivs"].strip() == "1"
    assert {int(fields[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert int(fields["SigBlk"], 16) == int(fields["SigIgn"], 16) == 0
    assert fields["Umask"].strip() == "0022"


def test_an_ignored_signal_is_not_inherited() -> None:
    status, data = run("/bin/sh", "-c", "kill -PIPE $$; echo still here", ignore=signal.SIGPIPE)
    assert (os.WTERMSIG(status), data) == (signal.SIGPIPE, b"")


def test_root_keeps_what_containers_keep() -> None:
    _, data = run("/bin/grep", "^Cap[PEB]", "/proc/self/status", uid=0)
    masks = {int(line.split()[1], 16) for line in data.splitlines()}
    # Neither SYS_ADMIN (21), SYS_CHROOT (18), MKNOD (27), SYS_PTRACE (19) nor SYS_MODULE (16) is in it.
    assert masks == {0b10_0101_1111_1011}


def test_it_has_three_files_and_a_session_of_its_own() -> None:
    script = (
        "readlink /proc/self/fd/0; cd /proc/self/fd; for f in *; do [ -e $f ] && echo $f; done; cat /proc/self/stat"
    )
    _, data = run("/bin/sh", "-c", script)
    first, *numbers, stat = data.decode().splitlines()
    assert first == "/dev/null"
    assert numbers == ["0", "1", "2"]
    _, _, group, session, terminal = stat.rpartition(")")[2].split()[:5]
    assert group == session
    assert terminal == "0"


@pytest.mark.slow
def test_it_is_in_its_root(tmp_path: Path) -> None:
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    (root / "bin").mkdir()
    (root / "dev").mkdir()
    (root / "dev" / "null").touch()
    source = tmp_path / "a.c"
    source.write_text('#include <unistd.h>\nint main(void) { return access("/only-here", F_OK) ? 1 : 0; }\n')
    compiler = subprocess.run(["cc", "-static", "-o", root / "bin" / "a", source], check=False)
    if compiler.returncode:
        pytest.skip("no compiler that links statically")
    (root / "only-here").touch()
    assert run("/bin/a", root=str(root)) == (0, b"")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("/no/such/program",), "cannot start the app: /no/such/program: No such file or directory"),
        (("no-such-program",), "cannot start the app: no-such-program: No such file or directory"),
        (("/etc/passwd",), "cannot start the app: /etc/passwd: Permission denied"),
    ],
)
def test_a_program_that_cannot_be_started(argv: tuple[str, ...], message: str) -> None:
    assert run(*argv) == (-1, message.encode())


def test_a_script_whose_interpreter_is_missing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        script = Path(folder, "script")
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        status, text = run(str(script))
    assert status == -1
    assert text == f"cannot start the app: {script} is there, but not the interpreter that it names".encode()


def test_a_working_folder_that_is_missing_or_closed() -> None:
    assert run("/bin/true", cwd="/no/such") == (
        -1,
        b"cannot enter the working folder /no/such as user 54321: No such file or directory",
    )
    assert run("/bin/true", cwd="/root/x") == (
        -1,
        b"cannot enter the working folder /root/x as user 54321: Permission denied",
    )


def test_a_root_that_is_missing() -> None:
    assert run("/bin/true", root="/no/such") == (-1, b"cannot enter /no/such: No such file or directory")


def test_a_root_without_null(tmp_path: Path) -> None:
    status, text = run("/bin/true", root=str(tmp_path))
    assert (status, text) == (-1, b"cannot open /dev/null in the app's root: No such file or directory")


def test_what_nobody_thought_of_is_reported_too() -> None:
    status, text = run("/bin/true", "\ud800")
    assert status == -1
    assert text.startswith(b"cannot start the app: UnicodeEncodeError")
