from __future__ import annotations

import errno

import pytest

from enclaver.cli.refusal import refusal
from enclaver.core.errors import EnclaverError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EnclaverError("is odd", file="x.yaml", place="3:1", cure="Fix it."), "x.yaml: 3:1: is odd\n  Fix it."),
        (EnclaverError("nothing to run", cure="Name it."), "enclaver: nothing to run\n  Name it."),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "x: No such file or directory"),
        (OSError(errno.ENOSPC, "No space left on device"), "enclaver: No space left on device"),
        (OSError("odd"), "enclaver: odd"),
    ],
)
def test_a_refusal_is_one_message(error: EnclaverError | OSError, message: str) -> None:
    assert refusal(error) == message
