"""The error every refusal of bad input is made of: it names the file, the place in it and the cure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class EnclaverError(Exception):
    """An input or an environment that the build cannot accept.

    Args:
        what: one sentence that says what is wrong.
        file: the file as the user named it, when one is to blame.
        place: where in the file: ``line 3, column 5``, ``offset 0x224``, ``section 2``.
        cure: what the user can do about it, as an imperative.

    ``str()`` is the whole message: ``FILE: PLACE: WHAT`` and, on a line of its own, the cure. The command
    line prints it and exits with 1; rules raise it as it is. No traceback belongs to it.
    """

    def __init__(
        self, what: str, *, file: str | None = None, place: str | None = None, cure: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.file = file
        self.place = place
        self.cure = cure

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.file, self.place, self.what) if part)
        return f"{head}\n  {self.cure}" if self.cure else head


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Name a file in the errors that name none: those of what was read from it."""
    try:
        yield
    except EnclaverError as error:
        error.file = error.file or str(path)
        raise
