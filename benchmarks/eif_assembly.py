"""Image assembly: kernel + 60 MB + 500 MB of ramdisks, against AWS's eif_build, in alternation.

    python benchmarks/eif_assembly.py [--runs N] [--app-mb N]

Both get the same files and both write and measure an image; the registers must agree. The last line is one JSON
object; ``peer`` is null where eif_build is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import struct
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "pants-plugins")]

from benchmarks.measure import Run, run, summary  # noqa: E402  (The paths above come first.)

CMDLINE = "reboot=t panic=30 pci=off console=ttyS0"
MIB = 1 << 20
KERNEL_MB, BOOT_MB, APP_MB = 4, 60, 500
BLOCK = 8 * MIB


def make(path: Path, size: int, *, head: bytes = b"") -> None:
    """Write a file of noise: one random block, over and over, each time with a number in front of it."""
    block = random.Random(path.name).randbytes(BLOCK)
    with path.open("wb") as out:
        out.write(head)
        for number in range(-(-size // BLOCK)):
            out.write(struct.pack(">Q", number) + block[8:])
        out.truncate(size)


def make_inputs(folder: Path, app_mb: int) -> list[Path]:
    """Write kernel and ramdisks; the kernel has what marks it as one."""
    kernel_head = bytearray(0x210)
    kernel_head[0x202:0x206] = b"HdrS"
    kernel, boot, app = (folder / name for name in ("kernel", "boot.cpio", "app.cpio"))
    make(kernel, KERNEL_MB * MIB, head=bytes(kernel_head))
    make(boot, BOOT_MB * MIB)
    make(app, app_mb * MIB)
    return [kernel, boot, app]


def ours(inputs: list[Path], output: Path) -> Run:
    """Assemble in a fresh interpreter, as a build does: its start counts."""
    paths = os.pathsep.join(sys.path)
    command: list[str | Path] = [sys.executable, __file__, "--child", *inputs, output]
    return run(command, env={**os.environ, "PYTHONPATH": paths})


def child(paths: list[Path]) -> None:
    """What a build process does, and nothing else."""
    from enclaver.build.image import assemble
    from enclaver.core.eif.metadata import metadata

    kernel, *ramdisks, output = paths
    found = assemble(
        kernel=kernel,
        cmdline=CMDLINE,
        ramdisks=ramdisks,
        architecture="x86_64",
        metadata=metadata(name="b", version="1", tool_version="0", kernel_version="6", extras={}),
        output=output,
    )
    print(json.dumps(found.registers()))


def theirs(eif_build: str, inputs: list[Path], output: Path) -> Run:
    """Assemble with eif_build."""
    kernel, *ramdisks = inputs
    command: list[str | Path] = [eif_build, "--kernel", kernel, "--cmdline", CMDLINE, "--name", "b"]
    for path in ramdisks:
        command += ["--ramdisk", path]
    return run([*command, "--output", output])


def registers(one: Run) -> dict[str, str]:
    """The registers that a run printed."""
    found = json.loads(one.output[one.output.index("{") :])
    return {name: found[name] for name in ("PCR0", "PCR1", "PCR2")}


def find_eif_build() -> str | None:
    """Where build-support/ci-tools puts it, else PATH."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enclaver-tools"
    folder = Path(os.environ.get("ENCLAVER_TOOLS") or cache) / "bin"
    return shutil.which("eif_build", path=str(folder)) or shutil.which("eif_build")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in alternation")
    parser.add_argument("--app-mb", type=int, default=APP_MB, help="size of the second ramdisk")
    parser.add_argument("--child", nargs="+", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child)
        return 0
    eif_build = find_eif_build()
    mine: list[Run] = []
    peers: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="eif-assembly-") as name:
        folder = Path(name)
        inputs = make_inputs(folder, args.app_mb)
        for _ in range(args.runs):
            if eif_build:
                peers.append(theirs(eif_build, inputs, folder / "theirs.eif"))
                (folder / "theirs.eif").unlink()
            mine.append(ours(inputs, folder / "ours.eif"))
            (folder / "ours.eif").unlink()
    agree = len({json.dumps(registers(one), sort_keys=True) for one in mine + peers}) == 1
    result = {
        "benchmark": "eif_assembly",
        "inputs_mib": [KERNEL_MB, BOOT_MB, args.app_mb],
        "runs": args.runs,
        "ours": asdict(summary(mine)),
        "peer": {"name": "eif_build", **asdict(summary(peers))} if peers else None,
        "ratio": round(summary(peers).seconds / summary(mine).seconds, 2) if peers else None,
        "registers_agree": agree if peers else None,
    }
    print(f"kernel {KERNEL_MB} MiB, ramdisks {BOOT_MB} and {args.app_mb} MiB, {args.runs} runs each\n")
    print(f"{'':<12}{'median s':>10}{'best s':>10}{'peak MiB':>10}")
    for title, runs in (("enclaver", mine), ("eif_build", peers)):
        if runs:
            one = summary(runs)
            print(f"{title:<12}{one.seconds:>10.2f}{one.best_seconds:>10.2f}{one.peak_mib:>10.1f}")
    if not peers:
        print("eif_build is not installed (build-support/ci-tools installs it): nothing to compare with")
    print(json.dumps(result))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
