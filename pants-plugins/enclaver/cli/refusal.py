"""What a refusal looks like on standard error: one message, no traceback."""

from __future__ import annotations

from enclaver.core.errors import EnclaverError


def refusal(error: EnclaverError | OSError) -> str:
    """Return the message of an error that ends a program with exit code 1.

    A message that starts with a file's name stays so: editors follow FILE:LINE:COLUMN.
    """
    if isinstance(error, EnclaverError):
        return str(error) if error.file else f"enclaver: {error}"
    # What no module foresaw: an input that is not there, a disk that is full.
    name = error.filename if isinstance(error.filename, str) else "enclaver"
    return f"{name}: {error.strerror or error}"
