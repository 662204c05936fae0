"""The kernel's sandbox for real: the pinned toolchain in namespaces, as root and as a user, and what is left."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import debian
from enclaver.core.errors import EnclaverError
from enclaver.core.kernel import config, files, source_lock
from enclaver.core.kernel.plan import CMDLINE
from tests.integration.tools import ROOT, require, tool_folder

pytestmark = pytest.mark.slow

TOOLCHAIN = ROOT / "3rdparty/debian/kernel-toolchain.amd64.lock.json"
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": "1794660961"}
# What a user's process needs to call the sandbox: a user may not be able to read this checkout.
MODULES = ("core/errors.py", "system/namespaces.py", "system/namespace_child.py", "system/scratch.py")

CALLER = """
import json, sys
sys.path.insert(0, {modules!r})
from pathlib import Path
from enclaver.core.errors import EnclaverError
from enclaver.system.namespaces import run
orders = json.loads(sys.argv[1])
try:
    code = run(Path(orders["root"]), orders["argv"], env=orders["env"], hostname="enclaver",
               on_line=lambda line: print(line, flush=True))
except EnclaverError as error:
    print(type(error).__name__, error)
    code = 99
sys.exit(code if code >= 0 else 100 - code)
"""


@dataclass(frozen=True)
class Sandbox:
    """The toolchain's tree and how to run in it, as a user with few rights or as who runs the tests."""

    folder: Path
    python: str
    user: int | None

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def command(self, *argv: str) -> list[str]:
        orders = {"root": str(self.root), "argv": argv, "env": ENVIRONMENT}
        return [self.python, "-c", CALLER.format(modules=str(self.folder / "modules")), json.dumps(orders)]

    def run(self, *argv: str, before: tuple[str, ...] = (), **options: Any) -> tuple[int, str]:
        """Run a program inside; return its code and its output."""
        done = subprocess.run(
            [*before, *self.command(*argv)],
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            **options,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def shell(self, script: str, **options: Any) -> list[str]:
        code, output = self.run("sh", "-ec", script, **options)
        assert code == 0, output
        return output.splitlines()


@pytest.fixture(scope="module")
def toolchain() -> Iterator[Path]:
    """A folder that every user may enter, with the toolchain in ``root``."""
    folder = Path(tempfile.mkdtemp(prefix="enclaver-kernel-"))
    try:
        folder.chmod(0o755)
        try:
            debian.fetch(lock=TOOLCHAIN, output=folder / "debs", cache=tool_folder() / "debs")
        except EnclaverError as error:
            reason = f"the toolchain can't be fetched: {error}"
            if os.environ.get("ENCLAVER_REQUIRE_TOOLS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        debian.unpack(lock=TOOLCHAIN, debs=folder / "debs", folder=folder / "root")
        for name in MODULES:
            target = folder / "modules/enclaver" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "pants-plugins/enclaver" / name, target)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def sandbox(toolchain: Path) -> Sandbox:
    """Run by who runs the tests."""
    return Sandbox(toolchain, sys.executable, None)


@pytest.fixture
def user_sandbox(toolchain: Path) -> Iterator[Sandbox]:
    """Run by a user with no rights: only user namespaces are left to it."""
    if not IS_ROOT:
        yield Sandbox(toolchain, sys.executable, None)
        return
    python = next((path for path in (sys.executable, "/usr/bin/python3") if _runs(path)), None)
    if python is None:
        pytest.fail("nobody may run any Python here")
    made = Sandbox(toolchain, python, NOBODY)
    _give(made.root, NOBODY)
    yield made
    _give(made.root, 0)


def _runs(python: str) -> bool:
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], user=NOBODY, group=NOBODY, check=False).returncode == 0
    except OSError:
        return False


def _give(tree: Path, user: int) -> None:
    for folder, names, others in os.walk(tree):
        for name in [".", *names, *others]:
            os.chown(os.path.join(folder, name), user, user, follow_symlinks=False)


def test_the_same_bytes_come_out_for_root_and_for_a_user(sandbox: Sandbox, user_sandbox: Sandbox) -> None:
    source = '#include <stdio.h>\\nint main(void) { puts(__DATE__ " " __TIME__); return __COUNTER__; }\\n'
    script = f"cd /tmp; printf '{source}' > a.c; gcc -O2 -g -o a a.c; ./a; sha256sum a a.c"
    here = sandbox.shell(script, umask=0o022)
    there = user_sandbox.shell(
        script, umask=0o077, cwd="/", env={"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "HOME": "/nowhere"}
    )
    assert here[0] == "Nov 14 2026 12:56:01"
    assert here == there


def test_the_host_is_not_in_sight(sandbox: Sandbox, user_sandbox: Sandbox) -> None:
    mark = sandbox.folder / "mark"
    mark.touch()
    # What gets out of a plain chroot: a working folder that lies above the new root.
    escape = (
        f"mkdir '/tmp/x'; chroot '/tmp/x' or die; chdir '..' for 1..64; chroot '.'; print -e '{mark}' ? 'out' : 'in'"
    )
    for one in (sandbox, user_sandbox):
        assert set(one.shell("ls -A /")) == {path.name for path in one.root.iterdir()}
        assert one.shell(f"ls -A /tmp /proc/1/root/tmp; test ! -e {mark}") == ["/proc/1/root/tmp:", "", "/tmp:"]
        assert one.shell(f'perl -e "{escape}"') == ["in"]
        mounted = one.shell("cut -d' ' -f2 /proc/self/mounts")
        devices = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]
        assert mounted == ["/", "/proc", "/tmp", "/dev", *devices]


def test_it_is_a_machine_of_its_own(sandbox: Sandbox, user_sandbox: Sandbox) -> None:
    script = """
        echo "$(id -u) $(uname -n) $(umask) $$"
        grep NoNewPrivs /proc/self/status
        tail -n +3 /proc/net/dev | cut -d: -f1
        echo "$(ls /dev | tr '\\n' ' ')"
        echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c
        env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort
        ls -d /proc/[0-9]* | wc -l
        cat; echo stdin is empty
    """
    for one in (sandbox, user_sandbox):
        lines = one.shell(script, umask=0o077)
        assert lines[0] == "0 enclaver 0022 2"
        assert lines[1].split() == ["NoNewPrivs:", "1"]
        assert lines[2].strip() == "lo"
        assert lines[3].split() == "fd full null random stderr stdin stdout urandom zero".split()
        assert lines[4:6] == ["4", "4"]
        assert lines[6:10] == sorted(f"{name}={value}" for name, value in ENVIRONMENT.items())
        assert int(lines[10]) < 8
        assert lines[11:] == ["stdin is empty"]


def test_a_containers_root_with_a_masked_proc_can_run_it(sandbox: Sandbox) -> None:
    for tool in ("unshare", "setpriv"):
        require(tool)
    # Podman's way: root by name, without the capability to make namespaces; no /proc may then be mounted.
    script = 'mount --bind /dev/null /proc/uptime; exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"'
    before = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh")
    code, output = sandbox.run("sh", "-c", "wc -c < /proc/uptime; id -u; gcc --version | head -n 1", before=before)
    assert (code, output.splitlines()[:2]) == (0, ["0", "0"])
    assert output.splitlines()[2].startswith("gcc (Debian 12")


def test_the_network_is_out_of_reach(sandbox: Sandbox, user_sandbox: Sandbox) -> None:
    script = (
        "use Socket; for my $to (['192.0.2.1', 80], ['127.0.0.1', 80]) { socket(my $s, PF_INET, SOCK_STREAM, 0);"
        " connect($s, sockaddr_in($to->[1], inet_aton($to->[0]))) and print 'reached'; print \"$!\\n\"; }"
    )
    for one in (sandbox, user_sandbox):
        code, output = one.run("perl", "-e", script)
        assert (code, output) == (0, "Network is unreachable\n" * 2)


def test_codes_and_signals_come_back(sandbox: Sandbox) -> None:
    assert sandbox.run("sh", "-c", "echo one; echo two >&2; exit 7") == (7, "one\ntwo\n")
    assert sandbox.run("sh", "-c", "kill -9 $$") == (109, "")
    # A background process that outlives the program would keep the output open, and the caller waiting.
    assert sandbox.run("sh", "-c", "sleep 1000 & echo done") == (0, "done\n")


def test_a_program_that_is_not_there_is_one_clear_error(sandbox: Sandbox) -> None:
    code, output = sandbox.run("clang")
    assert code == 99
    assert output.startswith("EnclaverError clang can't be run in the unpacked tree: No such file")


def test_where_a_setting_forbids_namespaces_it_is_named(sandbox: Sandbox) -> None:
    for tool in ("unshare", "setpriv"):
        require(tool)
    # For real, in a user namespace that has none left to give, for a process without any capability.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    code, output = sandbox.run("true", before=("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"))
    assert code == 99
    assert output.startswith("NamespacesForbiddenError this machine lets you make no namespaces of your own (unshare: ")
    assert "`sysctl -w user.max_user_namespaces=15000` as root, since it is 0 now" in output


def test_where_a_container_forbids_namespaces_the_ways_out_are_named(sandbox: Sandbox) -> None:
    # What Docker does: a seccomp filter that answers EPERM to unshare(2), here for x86_64 (its number is 272).
    filtered = textwrap.dedent("""
        import ctypes, os, struct, sys
        load, jump, ret = 0x20, 0x15, 0x06
        text = b"".join(struct.pack("HBBI", *one) for one in (
            (load, 0, 0, 0), (jump, 0, 1, 272), (ret, 0, 0, 0x00050001), (ret, 0, 0, 0x7FFF0000)))
        held = ctypes.create_string_buffer(text, len(text))
        program = struct.pack("HxxxxxxQ", len(text) // 8, ctypes.addressof(held))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
        os.execv(sys.argv[1], sys.argv[1:])
    """)
    code, output = sandbox.run("true", before=(sys.executable, "-c", filtered))
    assert code == 99
    assert "NamespacesForbiddenError" in output
    assert "(unshare: Operation not permitted)" in output
    for way in ("kernel.apparmor_restrict_unprivileged_userns", "user.max_user_namespaces", "--privileged", "as root"):
        assert way in output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_caller_leaves_no_process_no_mount_and_no_file(sandbox: Sandbox, number: int) -> None:
    work = sandbox.folder / "work"
    work.mkdir()
    text = textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {str(sandbox.folder / "modules")!r})
        from pathlib import Path
        from enclaver.system.namespaces import run
        from enclaver.system.scratch import scratch_folder
        with scratch_folder(Path({str(work)!r}), prefix="k") as folder:
            os.link({str(sandbox.root / "usr/bin/dash")!r}, folder / "dash")
            run(Path({str(sandbox.root)!r}), ["sh", "-c", "sleep 54321 & sleep 54321; true"],
                env={ENVIRONMENT!r}, hostname="h", on_line=lambda line: print(line, flush=True))
    """)
    before = Path("/proc/self/mountinfo").read_text()
    with subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            _wait(lambda: len(_sleepers()) == 2)
            assert len(os.listdir(work)) == 1
        finally:
            # The whole group, as a terminal or a build tool does it.
            os.killpg(process.pid, number)
    _wait(lambda: not _sleepers() and not os.listdir(work))
    assert _sleepers() == []
    assert os.listdir(work) == []
    assert Path("/proc/self/mountinfo").read_text() == before
    work.rmdir()


def _wait(condition: Callable[[], bool]) -> None:
    """Wait until it holds, ten seconds at most; what it is about is checked after."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _sleepers() -> list[str]:
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x0054321\0":
                found.append(path.parent.name)
        except OSError:
            continue  # It ended meanwhile.
    return found


def test_the_built_kernel_is_what_the_locks_say() -> None:
    folder = require("kernel")
    found = files.read(folder)
    if not (folder / files.RECORD).is_file():
        pytest.skip("the kernel was given as files")
    lock = source_lock.load(ROOT / "3rdparty/kernel/source.lock.json")
    fragment = ROOT / "3rdparty/kernel/x86_64.config"
    assert (found.architecture, found.release, found.cmdline) == ("x86_64", lock.kernel_version, CMDLINE)
    assert found.config is not None
    config.check(
        config.parse(fragment.read_bytes(), "fragment"), config.parse(found.config.read_bytes(), "final"), "fragment"
    )
    digests = {(one.kind, one.name): one.sha256 for one in found.inputs}
    assert digests["source", lock.package.name] == lock.package.sha256
    # Whoever builds may lay the fragment under another name.
    assert hashlib.sha256(fragment.read_bytes()).hexdigest() in {
        digest for (kind, _), digest in digests.items() if kind == "config"
    }
    # Its version's text carries the package's time, its user and its host, and nothing of this machine.
    text = found.image.read_bytes()[:0x8000]
    assert b"(enclaver@enclaver) #1 SMP " in text
