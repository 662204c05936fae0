"""Child processes that never outlive this one, however it ends.

They are started in sessions of their own, so that a terminal's Ctrl-C reaches only the runner, which then
ends them in order; and they ask the kernel for SIGKILL when their parent dies, which covers ``kill -9`` of
the runner.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

# Runs in the child, then becomes the wanted program. prctl(PR_SET_PDEATHSIG) is about the *thread* that
# forked, so the child is started from trio's own thread, not (as trio.run_process does) from a worker thread
# that ends when it idles. A parent that died before the call is seen by getppid(). Python ignores SIGPIPE
# and SIGXFSZ, and what is ignored stays ignored over exec, so they are put back.
_BECOME = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as problem:
    sys.exit(f"{sys.argv[2]}: {problem.strerror}")
"""


class Child:
    """A running child process; made by :func:`start`.

    ``output`` is its stdout and stderr in one stream, which somebody must read and close.
    """

    def __init__(self, popen: subprocess.Popen[bytes], output: trio.lowlevel.FdStream) -> None:
        self.output = output
        self.pid = popen.pid
        self._popen = popen
        # Opened before the process can have been reaped, so that it never names another one.
        self._pidfd = os.pidfd_open(popen.pid)

    async def wait(self) -> str:
        """Wait until it ends; how it ended, as ``exit code 1`` or ``signal 9``. To be called exactly once."""
        try:
            await trio.lowlevel.wait_readable(self._pidfd)
        finally:
            os.close(self._pidfd)
        return self._how(self._popen.wait())

    def end(self) -> None:
        """Kill it, if it still runs, and reap it. It has nothing to save, so it is not asked first."""
        self._popen.kill()
        self._popen.wait()

    @staticmethod
    def _how(returncode: int) -> str:
        return f"exit code {returncode}" if returncode >= 0 else f"signal {-returncode}"


def start(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> Child:
    """Start ``command`` (an absolute path and its arguments) in ``cwd`` with no input, by default in this environment.

    To be called from the thread that lives as long as the child should, which is trio's. The caller calls
    :meth:`Child.wait` and :meth:`Child.end`, and reads and closes :attr:`Child.output`.

    Raises:
        OSError: no process could be made. A program that cannot be run ends at once instead, and says so.
    """
    arguments = [sys.executable, "-I", "-S", "-B", "-c", _BECOME, str(os.getpid()), *map(str, command)]
    popen = subprocess.Popen(
        arguments,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert popen.stdout is not None
    output = trio.lowlevel.FdStream(os.dup(popen.stdout.fileno()))
    popen.stdout.close()
    return Child(popen, output)
