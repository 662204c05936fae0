from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.rootfs import script


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (b"#!/bin/sh\n", "/bin/sh"),
        (b"#! \t/bin/sh -eu\nexit", "/bin/sh"),
        (b"#!/bin/sh", "/bin/sh"),
        (b"#!/bin/sh\r\n", "/bin/sh\r"),
        (b"#!/usr/bin/env python3\n", "/usr/bin/env"),
        (b"#!\n/bin/sh", ""),
        (b"#!/\xff\n", "/\udcff"),
        (b"#!/bin/sh\0x", "/bin/sh"),
        (b" #!/bin/sh\n", None),
        (b"\xef\xbb\xbf#!/bin/sh\n", None),
        (b"#", None),
        (b"", None),
    ],
)
def test_the_first_line_names_the_interpreter(head: bytes, interpreter: str | None) -> None:
    assert script.interpreter(head) == interpreter


def test_linux_agrees(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_bytes(b"#! \t/bin/echo \t from  echo \nexit 1\n")
    path.chmod(0o755)
    assert script.interpreter(path.read_bytes()) == "/bin/echo"
    assert (
        subprocess.run([path], stdout=subprocess.PIPE, check=True).stdout == b"from  echo " + os.fsencode(path) + b"\n"
    )


@given(st.binary(max_size=300))
def test_no_head_is_too_odd(head: bytes) -> None:
    found = script.interpreter(b"#!" + head)
    assert found is not None
    assert not set(found) & set(" \t\n\0")
