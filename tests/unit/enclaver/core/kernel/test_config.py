"""The kernel's configuration: what a fragment may say, and that what it says came true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.kernel.config import Option, check, parse

ROOT = Path(__file__).parents[5]


def options(text: str) -> dict[str, Option]:
    return parse(text.encode(), "x86_64.config")


def test_every_kind_of_line_is_read() -> None:
    text = """# A comment.

CONFIG_A=y
CONFIG_B=n
# CONFIG_C is not set
CONFIG_D=128
CONFIG_E=0xdead
CONFIG_F="a \\"b\\""
"""
    found = options(text)
    assert {name: (option.value, option.line) for name, option in found.items()} == {
        "A": ("y", 3),
        "B": ("n", 4),
        "C": ("n", 5),
        "D": ("128", 6),
        "E": ("0xdead", 7),
        "F": ('"a \\"b\\""', 8),
    }


@pytest.mark.parametrize(
    "line", ["CONFIG_A", "CONFIG_A=", "CONFIG_A=yes", "A=y", "CONFIG_A=y # why", 'CONFIG_A="open', "CONFIG_A=y;rm"]
)
def test_what_is_no_option_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(EnclaverError, match=r"x86_64\.config: line 2: .* is not a kernel option"):
        options(f"CONFIG_X=y\n{line}\n")


def test_an_option_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(EnclaverError, match="line 3: CONFIG_A is given a second time; line 1 has it first"):
        options("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_A is not set\n")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(EnclaverError, match="not UTF-8"):
        parse(b"CONFIG_A=y\n\xff\n", "f")


def test_a_configuration_that_holds_all_that_was_asked_for_is_accepted() -> None:
    wanted = options("CONFIG_A=y\nCONFIG_B=n\nCONFIG_C=n\nCONFIG_D=128\n")
    check(wanted, options("CONFIG_A=y\n# CONFIG_C is not set\nCONFIG_D=128\nCONFIG_MORE=y\n"), "f")


def test_dropped_options_are_named_with_their_lines() -> None:
    wanted = options("CONFIG_A=y\nCONFIG_NSM=y\nCONFIG_GONE=y\n")
    with pytest.raises(EnclaverError) as caught:
        check(wanted, options("CONFIG_A=y\n# CONFIG_NSM is not set\n"), "x86_64.config")
    text = str(caught.value)
    assert text.startswith("x86_64.config: line 2: ")
    assert "line 2: CONFIG_NSM=y: it was dropped" in text
    assert "line 3: CONFIG_GONE=y: it was dropped" in text
    assert "CONFIG_A" not in text


def test_options_that_another_one_changed_are_named() -> None:
    with pytest.raises(EnclaverError, match="CONFIG_MODULES=n: it became y") as caught:
        check(options("CONFIG_MODULES=n\nCONFIG_CPUS=128\n"), options("CONFIG_MODULES=y\nCONFIG_CPUS=64\n"), "f")
    assert "CONFIG_CPUS=128: it became 64" in str(caught.value)


@given(st.text() | st.from_regex(r"(?:(?:# )?CONFIG_[A-Z]{1,2}(?:=[yn01\"]{0,3}| is not set)\n){0,5}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text.encode("utf-8", "surrogatepass"), "f")
    except EnclaverError:
        return
    lines = text.split("\n")
    assert all(f"CONFIG_{option.name}" in lines[option.line - 1] for option in found.values())


def test_our_own_fragment_asks_for_what_an_enclave_needs() -> None:
    found = parse((ROOT / "3rdparty/kernel/x86_64.config").read_bytes(), "x86_64.config")
    needed = "NSM VIRTIO_MMIO_CMDLINE_DEVICES VIRTIO_VSOCKETS DEVTMPFS TMPFS OVERLAY_FS SECCOMP_FILTER CGROUPS"
    needed += " PROC_SYSCTL KVM_GUEST CPU_MITIGATIONS STACKPROTECTOR_STRONG"
    assert [name for name in needed.split() if found[name].value != "y"] == []
    assert found["MODULES"].value == "n"
    assert not [name for name in found if re.search("RANDSTRUCT|GCC_PLUGIN|IKCONFIG|DEBUG_INFO", name)]
