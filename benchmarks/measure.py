"""Running a program as a child and measuring it: seconds from start to end and its peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One run of a child: wall clock in seconds, CPU in seconds, peak resident memory in MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


@dataclass(frozen=True)
class Summary:
    """Several runs: the median and the best wall clock, the highest peak."""

    seconds: float
    best_seconds: float
    peak_mib: float


# Linux counts the peak of the process that starts a program as the program's own (exec keeps the higher of the two), so
# a benchmark that has made its inputs would be measured itself. The child is started by this instead, which is small.
_STARTER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)  # Only this gives the peak of this one child.
child.returncode = os.waitstatus_to_exitcode(status)
seconds = time.perf_counter() - start
with open(int(sys.argv[1]), "w") as report:
    json.dump([child.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024], report)
"""


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    inner, outer = os.pipe()
    with open(inner, encoding="ascii") as report:
        try:
            starter: list[str | Path] = [sys.executable, "-S", "-E", "-c", _STARTER, str(outer), *command]
            done = subprocess.run(starter, stdout=subprocess.PIPE, text=True, env=env, pass_fds=[outer], check=True)
        finally:
            os.close(outer)
        code, seconds, cpu_seconds, peak_mib = json.load(report)
    if code:
        raise subprocess.CalledProcessError(code, list(command), done.stdout)
    return Run(seconds, cpu_seconds, peak_mib, done.stdout)


def summary(runs: Sequence[Run]) -> Summary:
    """Summarise runs of one command."""
    seconds = [one.seconds for one in runs]
    return Summary(statistics.median(seconds), min(seconds), max(one.peak_mib for one in runs))
