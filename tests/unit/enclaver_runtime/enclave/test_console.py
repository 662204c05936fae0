from __future__ import annotations

import os

from enclaver_runtime.enclave.console import Console


def said(*texts: str) -> bytes:
    read, write = os.pipe()
    console = Console(write, clock=lambda: 1.5321)
    for text in texts:
        console.say(text)
    os.close(write)
    with open(read, "rb") as file:
        return file.read()


def test_a_line_has_the_time_since_the_kernels_start() -> None:
    assert said("mounts") == b"enclaver: [1.532] mounts\n"


def test_every_line_is_marked_and_ascii() -> None:
    assert said("a\nb\u00e9", "") == (b"enclaver: [1.532] a\nenclaver: [1.532] b\\xe9\nenclaver: [1.532] \n")


def test_a_console_that_is_gone_harms_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    Console(write).say("unheard")
