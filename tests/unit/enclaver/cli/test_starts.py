from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from enclaver.cli import starts
from enclaver.core.eif.reader import Image, read
from enclaver.core.errors import EnclaverError
from enclaver_runtime.parent import emulator
from enclaver_runtime.parent.errors import ParentError, plain_errors
from tests.unit.enclaver.core.eif.images import image_bytes, plan, saved

MEBIBYTE = 1 << 20


def arguments(**given: Any) -> argparse.Namespace:
    names = ("memory_mb", "cpu_count", "machine", "qemu", "development_attestation", "development_root")
    return argparse.Namespace(**{name: given.get(name) for name in names}, debug_mode=False)


def image(folder: Path, architecture: str = "x86_64") -> Image:
    """Of 61 MiB, where 62 are needed; on Nitro 44."""
    known: Any = architecture
    made = replace(plan(bytes(10 * MEBIBYTE)), architecture=known, memory_bytes=61 * MEBIBYTE)
    return read(saved(folder, image_bytes(made)))


def test_the_emulator_has_one_architecture(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match=r"the emulator runs x86_64 images, this one is for aarch64\n  Build"):
        starts.in_emulator(arguments(), image(tmp_path, "aarch64"), None)


def test_hardware_has_its_own(tmp_path: Path) -> None:
    other = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
    with pytest.raises(EnclaverError, match=f"an image for {other} does not run on this machine"):
        starts.on_nitro(arguments(), image(tmp_path, other), None)


@pytest.mark.parametrize("start", [starts.on_nitro, starts.in_emulator])
def test_too_little_memory_is_refused_before_anything_starts(tmp_path: Path, start: Any) -> None:
    made = image(tmp_path, os.uname().machine if start is starts.on_nitro else "x86_64")
    with pytest.raises(EnclaverError, match="cannot boot with 61 MiB"):
        start(arguments(), made, None)
    start(arguments(memory_mb=62), made, None)


def test_memory_that_nitro_would_refuse_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = read(saved(tmp_path, image_bytes(plan(bytes(MEBIBYTE), kernel=bytes(12 * MEBIBYTE)))))
    starts.in_emulator(arguments(memory_mb=40), made, None)
    assert "enclaver: 40 MiB would be too little on Nitro" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["machine", "qemu", "development-attestation", "development-root"])
def test_the_emulators_options_are_not_nitros(tmp_path: Path, option: str) -> None:
    with pytest.raises(EnclaverError, match=f"--{option} is the emulator's"):
        starts.on_nitro(arguments(**{option.replace("-", "_"): "x"}), image(tmp_path, os.uname().machine), None)


def test_a_root_without_what_it_is_the_root_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="--development-root needs --development-attestation"):
        starts.in_emulator(arguments(development_root=Path("x"), memory_mb=62), image(tmp_path), None)


@pytest.mark.parametrize("honest", [True, False])
def test_an_enclave_that_measures_something_else_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, honest: bool
) -> None:
    made = image(tmp_path)
    registers = made.measurements.registers()
    told = registers if honest else registers | {"PCR0": registers["PCR2"]}

    @asynccontextmanager
    async def boot(_: object, *, on_line: Callable[[bytes], object], **__: object) -> AsyncIterator[None]:
        for name, value in told.items():
            on_line(f"enclaver: [1.5] {name}={value}".encode())
        yield

    monkeypatch.setattr(emulator, "boot", boot)

    async def run() -> bool:
        with plain_errors():
            async with starts.in_emulator(arguments(memory_mb=62), made, None)():
                await trio.testing.wait_all_tasks_blocked()
        return True

    if honest:
        assert trio.run(run)
    else:
        with pytest.raises(ParentError, match="the enclave that has booted is not the image: its PCR0 is"):
            trio.run(run)


def test_a_console_that_nobody_reads_any_more_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        console = starts._console(argparse.Namespace(debug_mode=True))
        assert console is not None
        trio.run(console, b"Linux version 6.12")
