"""What is wrong with a manifest and where: one :class:`Problem` a place, all of a file in one error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from enclaver.core.errors import EnclaverError

# More than this many problems in one file say no more than "this is no manifest"; the rest is counted.
SHOWN_PROBLEMS = 100
_EXCERPT_COLUMNS = 100
_QUOTED_CHARACTERS = 60
# What ends a line: the same three that YAML and editors agree on (document.py refuses the exotic ones).
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of the file: line and column count from 1, the width is in characters."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or worth a note, at one place of the file.

    ``key`` is the path of the key it is about (``egress.allow[2]``), or empty. ``excerpt`` is the offending
    line (clipped to a window), ``caret`` the offset in it of the offending text, ``place.width`` its length.
    """

    place: Place
    message: str
    cure: str | None = None
    key: str = ""
    excerpt: str = ""
    caret: int = 0

    def render(self, file: str, *, label: str = "") -> str:
        """``FILE:LINE:COL: message``, then the offending line with its text marked, then the cure."""
        lines = [f"{file}:{self.place.line}:{self.place.column}: {label}{self.message}"]
        if self.excerpt.strip():
            number = f"{self.place.line:>5}"
            marks = "^" * max(1, min(self.place.width, len(self.excerpt) - self.caret))
            lines.append(f"{number} | {self.excerpt.rstrip()}")
            lines.append(f"{' ' * len(number)} | {' ' * self.caret}{marks}")
        if self.cure:
            lines.append(f"  {self.cure}")
        return "\n".join(lines)


class ManifestError(EnclaverError):
    """A manifest that cannot be accepted; ``str()`` shows every problem of it, in the file's order."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the manifest", file=file)
        self.problems = tuple(sorted(problems, key=lambda p: (p.place.line, p.place.column)))

    def __str__(self) -> str:
        shown = [problem.render(self.file or "") for problem in self.problems[:SHOWN_PROBLEMS]]
        rest = len(self.problems) - len(shown)
        if rest:
            shown.append(f"{self.file}: and {rest} more problems")
        return "\n".join(shown)


class TextError(ValueError):
    """Text that is not what its key wants, before anybody knows where in the file it stands.

    ``message`` says what is wrong, ``cure`` what to write instead.
    """

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class Source:
    """The text of one manifest, for showing places of it.

    Args:
        file: the name the user gave it, as problems show it.
        text: its whole text, or what could be decoded of it.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = tuple(_LINE_BREAK.split(text))

    def place(self, line: int, column: int, width: int = 1) -> Place:
        """A place that is certainly inside the file: an end of input is shown after the last text."""
        line = min(max(line, 1), len(self.lines))
        while line > 1 and not self.lines[line - 1].strip() and column <= 1:
            # Parsers report an unexpected end on the empty line after everything; nobody looks there.
            line -= 1
            column = len(self.lines[line - 1].rstrip()) + 1
        return Place(line, min(max(column, 1), len(self.lines[line - 1]) + 1), max(width, 1))

    def problem(self, place: Place, message: str, cure: str | None = None, *, key: str = "") -> Problem:
        """A problem at a place, with the line it stands on."""
        line = self.lines[place.line - 1]
        start = max(0, place.column - 1 - _EXCERPT_COLUMNS // 2) if len(line) > _EXCERPT_COLUMNS else 0
        excerpt = "".join(_shown(character) for character in line[start : start + _EXCERPT_COLUMNS])
        return Problem(place, message, cure, key, excerpt, place.column - 1 - start)


def _shown(character: str) -> str:
    # A tab keeps its one column so that the marks stay below what they mark; what cannot be printed could
    # steer a terminal.
    if character == "\t":
        return " "
    return character if character.isprintable() else "?"


def quote(text: str) -> str:
    """Text from the file for use within a message: clipped, with unprintable characters escaped."""
    clipped = text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 3] + "..."
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in clipped)
    return f"`{shown}`"


def listing(names: Sequence[str], last: str = "or") -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"
