"""How long `./pants package` takes: cold, with nothing to do, and after a change of one app file.

    ./pants run benchmarks:package_times

Works on a copy of this checkout with stores and caches of its own, so "cold" is cold but for the launcher's Pants and
the package index. There is no peer to compare with: Enclaver builds from a Docker image. The last line is one JSON
object.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

TARGET = "examples/hello:enclave"
PARTS = ("pants", "pants.toml", "pyproject.toml", "BUILD", "3rdparty", "examples", "pants-plugins", "runtime")
_LINE = re.compile(r"^(\d\d:\d\d:\d\d\.\d\d) \[INFO\] (Starting|Completed): (.*)$", re.MULTILINE)
_DAY = 24 * 3600


def timed(checkout: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Package once; return seconds and Pants' log."""
    start = time.perf_counter()
    done = subprocess.run(
        ["./pants", "package", TARGET], cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, done.stderr


def stages(log: str) -> dict[str, float]:
    """Return seconds from each step's start to its end, by its description; Pants' clock has 10 ms."""
    started: dict[str, datetime] = {}
    took: dict[str, float] = {}
    for clock, event, what in _LINE.findall(log):
        moment = datetime.strptime(clock, "%H:%M:%S.%f")  # noqa: DTZ007  (Only differences matter.)
        if event == "Starting":
            started[what] = moment
        elif what in started:
            took[what] = (moment - started[what]).total_seconds() % _DAY
    return took


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="package-times-") as work:
        checkout = Path(work, "checkout")
        checkout.mkdir()
        for part in PARTS:
            (shutil.copytree if Path(part).is_dir() else shutil.copy2)(part, checkout / part)
        environment = {
            **os.environ,
            "PANTS_LOCAL_STORE_DIR": f"{work}/store",
            "PANTS_NAMED_CACHES_DIR": f"{work}/named",
            "PANTS_PANTSD": "true",
            "PANTS_DYNAMIC_UI": "false",
        }
        try:
            cold, log = timed(checkout, environment)
            took = stages(log)
            warm = min(timed(checkout, environment)[0] for _ in range(3))
            app = checkout / "examples/hello/server.py"
            changed = []
            for number in range(3):
                app.write_text(app.read_text() + f"\n# Change {number}.\n")
                changed.append(timed(checkout, environment)[0])
        finally:
            # The daemon of the copy would outlive its folder.
            pid = next(iter(checkout.glob(".pids/*/pantsd/pid")), None)
            if pid is not None:
                subprocess.run(["kill", pid.read_text()], check=False)
    kernel = sum(seconds for what, seconds in took.items() if what.startswith("Build ") and "from source" in what)
    for what, seconds in sorted(took.items(), key=lambda item: -item[1]):
        print(f"{seconds:8.2f} s  {what}")
    print(f"{cold:8.2f} s  cold, of which the kernel {kernel:.2f} s")
    print(f"{warm:8.2f} s  nothing to do (the best of 3)")
    print(f"{min(changed):8.2f} s  one app file changed (the best of 3)")
    result = {"cold_s": cold, "kernel_s": kernel, "no_op_s": warm, "changed_app_s": min(changed), "peer": None}
    print(json.dumps({name: round(value, 2) if value else value for name, value in result.items()}))


if __name__ == "__main__":
    main()
