"""What runs a script: its first line. Source: execve(2), "Interpreter scripts"; Linux' fs/binfmt_script.c."""

from __future__ import annotations

import re
from typing import Final

from enclaver.core.rootfs.entry import path_text

#: Linux reads no more of a file to find out what it is (BINPRM_BUF_SIZE).
HEAD_SIZE: Final = 256
_FIRST_LINE: Final = re.compile(rb"#![ \t]*([^ \t\n\0]*)")


def interpreter(head: bytes) -> str | None:
    """Return the interpreter that a script names, '' when it names none; None when it is no script.

    Args:
        head: the file's first HEAD_SIZE bytes, or all of them when it is shorter.
    """
    match = _FIRST_LINE.match(head[:HEAD_SIZE])
    return path_text(match[1]) if match else None
