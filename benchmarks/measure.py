"""Running a program as a child and measuring it: seconds from start to end and its peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
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


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert child.stdout is not None
    output = child.stdout.read()
    # Only wait4 gives the peak of this one child; getrusage would give the highest of all so far.
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.stdout.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, list(command), output)
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def summary(runs: Sequence[Run]) -> Summary:
    """Summarise runs of one command."""
    seconds = [one.seconds for one in runs]
    return Summary(statistics.median(seconds), min(seconds), max(one.peak_mib for one in runs))
