from __future__ import annotations

import os
from contextlib import suppress

import pytest

from enclaver_runtime.transport.relay.pipes import PIPE_SIZE, Pipe, Pipes


def test_a_pipe_that_comes_back_empty_is_used_again_and_there_are_only_so_many() -> None:
    pipes = Pipes(most=2)
    first, second = pipes.take(), pipes.take()
    assert first is not None
    assert second is not None
    assert pipes.take() is None
    pipes.give_back(first)
    assert pipes.take() is first
    pipes.give_back(first)
    pipes.give_back(second)
    pipes.close()


def test_a_pipe_with_bytes_in_it_is_closed_and_makes_room_for_another() -> None:
    pipes = Pipes(most=1)
    pipe = pipes.take()
    assert pipe is not None
    pipe.held = os.write(pipe.input, b"x")
    pipes.give_back(pipe)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.input)
    another = pipes.take()
    assert another is not None
    assert another is not pipe
    another.close()


def test_without_files_there_is_no_pipe_but_no_error_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(flags: int) -> tuple[int, int]:
        raise OSError(24, f"Too many open files ({flags})")

    monkeypatch.setattr(os, "pipe2", none_left)
    assert Pipes().take() is None


def test_a_pipe_holds_as_much_as_it_may() -> None:
    pipe = Pipe()
    written = 0
    with suppress(BlockingIOError):
        while True:
            written += os.write(pipe.input, bytes(65536))
    assert 65536 <= written <= PIPE_SIZE
    pipe.close()
