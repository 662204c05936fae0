"""The app's start: from a fork of the runtime to the app's own program, with everything of the runtime's left behind.

The child becomes a session of its own in the app's root, with /dev/null as standard input and the log's pipe
as standard output and error, no other open file, default signals, the user and group of runtime.json and no
others, no capability outside of :data:`ROOT_CAPABILITIES` (none at all for a user that is not root), and no
way to gain privileges.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from enclaver_runtime.config import App
from enclaver_runtime.enclave.place import OOM_SCORE
from enclaver_runtime.enclave.reaper import Child, Reaper
from enclaver_runtime.transport import syscalls

#: What an app that runs as root may still do: what is about files, users, signals and ports, as in
#: containers; without SYS_CHROOT and MKNOD, with which it could leave its root. Numbers of
#: linux/capability.h.
ROOT_CAPABILITIES = frozenset(
    {
        0,  # CHOWN
        1,  # DAC_OVERRIDE
        3,  # FOWNER
        4,  # FSETID
        5,  # KILL
        6,  # SETGID
        7,  # SETUID
        8,  # SETPCAP
        10,  # NET_BIND_SERVICE
        13,  # NET_RAW
    }
)

_MAX_REPORT = 4096

#: Signals that Python or the runtime handles or ignores; an ignored one would stay so in the app.
_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


class LaunchError(Exception):
    """The app could not be started; the text says which step failed and why."""


async def launch(app: App, *, root: str, output: int, reaper: Reaper) -> Child:
    """Start ``app`` in ``root`` with ``output`` as its standard output and error; returns when it runs.

    ``output`` stays open here; the caller closes it.

    Raises:
        LaunchError: a step in the child failed; the child has ended and was reaped.
        OSError: no process could be made.
    """
    report, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(app, root, output, write)
    child = reaper.expect(pid)
    os.close(write)
    async with trio.lowlevel.FdStream(report) as stream:
        text = bytearray()
        async for data in stream:
            text += data
    # The report's pipe is closed by the program's start; anything that it says is a failure.
    if text:
        await child.wait()
        raise LaunchError(text.decode("utf-8", "replace"))
    return child


def _become(app: App, root: str, output: int, report: int) -> None:
    """Turn this child into the app. Never returns: nothing of PID 1's code may run in the child."""
    try:
        _enter(app, root, output)
        # Every file of PID 1's is close-on-exec; the app's isolation does not rest on that alone.
        os.closerange(3, report)
        os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
        _execute(app)
    except LaunchError as error:
        os.write(report, str(error).encode("utf-8", "backslashreplace")[:_MAX_REPORT])
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends here and is reported.
        os.write(report, f"cannot start the app: {error!r}".encode("utf-8", "backslashreplace")[:_MAX_REPORT])
    finally:
        os._exit(127)


def _enter(app: App, root: str, output: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    os.umask(0o022)
    with _step("cannot let the kernel end the app when memory ends"):
        _be_killable()
    with _step(f"cannot enter {root}"):
        os.chroot(root)
        os.chdir("/")
    with _step("cannot open /dev/null in the app's root"):
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with _step("cannot drop capabilities"):
        syscalls.drop_capabilities(keep=ROOT_CAPABILITIES if app.uid == 0 else frozenset())
    with _step(f"cannot become user {app.uid}, group {app.gid}"):
        os.setgroups([])
        os.setresgid(app.gid, app.gid, app.gid)
        os.setresuid(app.uid, app.uid, app.uid)
    syscalls.set_no_new_privileges()
    with _step(f"cannot enter the working folder {app.cwd} as user {app.uid}"):
        os.chdir(_encode(app.cwd))


def _be_killable() -> None:
    """Undo what spares the runtime: the app is what the kernel is to end when there is no memory left."""
    with open(OOM_SCORE, encoding="ascii") as file:
        spared = int(file.read()) < 0
    # A score above 0 is the machine's own choice, and lowering it takes a capability.
    if spared:
        with open(OOM_SCORE, "w", encoding="ascii") as file:
            file.write("0")


def _execute(app: App) -> None:
    argv = [_encode(argument) for argument in app.argv]
    env = {_encode(name): _encode(value) for name, value in app.env.items()}
    program = argv[0]
    with _step(f"cannot start the app: {app.argv[0]}"):
        try:
            # A name without a slash is looked for in the app's own PATH.
            os.execvpe(program, argv, env)  # noqa: S606 - no shell is what is wanted.
        except FileNotFoundError:
            if b"/" in program and os.path.exists(program):
                raise LaunchError(
                    f"cannot start the app: {app.argv[0]} is there, but not the interpreter that it names"
                ) from None
            raise


@contextmanager
def _step(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LaunchError(f"{what}: {error.strerror}") from error


def _encode(text: str) -> bytes:
    # runtime.json carries bytes that are not UTF-8 as escaped surrogates, whatever the locale says.
    return text.encode("utf-8", "surrogateescape")
