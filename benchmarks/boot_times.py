"""How long an emulated enclave takes to its app's first line, and where the time goes.

    ./pants package examples/hello:enclave && ./pants run benchmarks:boot_times

Times inside are the guest's own, from its kernel's start; the rest is QEMU's and this program's. The last line is one
JSON object (medians); there is no peer that boots the same image.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from enclaver.cli import main as enclaver

_STEP = re.compile(r"enclaver: \[(\d+\.\d+)\] (.*)")
_INIT = re.compile(r"\[\s*(\d+\.\d+)\] Run /init")


def boot(eif: Path) -> dict[str, float]:
    """Boot an image until its app's first line; return seconds by step, in order."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    start = time.perf_counter()
    command = [sys.executable, str(enclaver.__file__), "run", str(eif), "--emulate", "--debug-mode"]
    steps: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None

        def read(console: IO[bytes]) -> None:
            for raw in console:
                line = raw.decode(errors="replace")
                if found := _INIT.search(line):
                    steps["guest: kernel to /init"] = float(found[1])
                elif (found := _STEP.search(line)) and not found[2].startswith("PCR"):
                    steps[f"guest: {found[2].split(',')[0]}"] = float(found[1])

        reader = threading.Thread(target=read, args=(process.stderr,))
        reader.start()
        process.stdout.readline()
        first_line = time.perf_counter() - start
        process.send_signal(signal.SIGINT)
        process.wait()
        reader.join()
    return {**steps, "first line of the app, from the command's start": first_line}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("eif", type=Path, nargs="?", default=Path("dist/examples.hello/enclave.eif"))
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if not args.eif.is_file():
        sys.exit(f"{args.eif} is not there: package it first")
    runs = [boot(args.eif) for _ in range(args.runs)]
    medians = {step: statistics.median(run[step] for run in runs if step in run) for step in runs[0]}
    for step, seconds in medians.items():
        print(f"{seconds:7.2f} s  {step}")
    print(json.dumps({"seconds": {step: round(value, 3) for step, value in medians.items()}, "peer": None}))


if __name__ == "__main__":
    main()
