"""The build's output made short."""

from __future__ import annotations

from enclaver.core.kernel.progress import EVERY, BuildLog


def test_a_line_comes_every_hundred_objects_and_at_the_link() -> None:
    log = BuildLog()
    told = [log.feed(f"  CC      mm/file{number}.o") for number in range(1240)]
    told.append(log.feed("  LD      vmlinux"))
    messages = [message for message in told if message]
    assert len(messages) == 1240 // EVERY + 1
    assert messages[-2:] == ["kernel: 1,200 objects compiled", "kernel: 1,240 objects compiled, linking"]


def test_only_the_kernels_own_objects_count() -> None:
    log = BuildLog()
    for line in (
        "  HOSTCC  scripts/basic/fixdep",
        "  AR      mm/built-in.a",
        "  LD      vmlinux.o",
        "CC x.o",
        "  AS  a.o",
    ):
        log.feed(line)
    assert log.compiled == 1


def test_the_excerpt_is_what_names_trouble() -> None:
    log = BuildLog()
    log.feed("  CC      mm/slub.o")
    log.feed("mm/slub.c:1:2: error: expected ';'")
    for number in range(100):
        log.feed(f"  CC      mm/after{number}.o")
    assert log.excerpt() == "    mm/slub.c:1:2: error: expected ';'"


def test_without_trouble_the_excerpt_is_the_end_and_bounded() -> None:
    log = BuildLog()
    for number in range(1000):
        log.feed(f"{number} " + "x" * 100_000)
    assert log.excerpt().count("\n") == 29
    assert len(log.excerpt()) < 20_000
    assert "    999 xxx" in log.excerpt()
