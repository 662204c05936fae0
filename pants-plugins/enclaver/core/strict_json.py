"""JSON files that decide what is measured: strictly read, with file, place and cure in errors; canonically written."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from enclaver.core.errors import EnclaverError


class Reader:
    """Takes a JSON document apart.

    ``place`` is how errors name where a value stands, such as ``packages[3].size``; None is the whole document.

    Args:
        file: the document's name as the user gave it.
        cure: what all errors advise.

    Raises:
        EnclaverError: from every method, for a value that is not what it must be.
    """

    def __init__(self, file: str, cure: str) -> None:
        self._file = file
        self._cure = cure

    def fail(self, place: str | None, what: str) -> NoReturn:
        """Refuse the document."""
        raise EnclaverError(what, file=self._file, place=place, cure=self._cure)

    def document(self, text: bytes) -> Any:
        """Return the document's value; no object may have a key twice."""

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            seen: dict[str, Any] = {}
            for key, value in pairs:
                if key in seen:
                    self.fail(f"key {key!r}", "the key is given twice in one object")
                seen[key] = value
            return seen

        try:
            return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=self._constant)
        except UnicodeDecodeError as error:
            self.fail(f"byte {error.start}", "the file is not UTF-8 text")
        except json.JSONDecodeError as error:
            self.fail(f"line {error.lineno}, column {error.colno}", f"this is not JSON: {error.msg}")
        except RecursionError:
            self.fail(None, "the document is nested too deeply")
        except ValueError as error:  # An integer of thousands of digits.
            self.fail(None, f"this is not JSON that can be read: {error}")

    def _constant(self, name: str) -> NoReturn:
        self.fail(None, f"{name} is not JSON")

    def object(self, value: Any, place: str | None, keys: Iterable[str]) -> dict[str, Any]:
        """Return an object that has these keys and no others."""
        if not isinstance(value, dict):
            self.fail(place, f"expected an object, found {kind(value)}")
        wanted = list(keys)
        for key in value:
            if key not in wanted:
                near = difflib.get_close_matches(key, wanted, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(wanted)}"
                self.fail(place, f"unknown key {key!r}{hint}")
        for key in wanted:
            if key not in value:
                self.fail(place, f"the key {key!r} is missing")
        return value

    def mapping(self, value: Any, place: str) -> dict[str, Any]:
        """Return an object of whatever keys, which have to be sorted."""
        if not isinstance(value, dict):
            self.fail(place, f"expected an object, found {kind(value)}")
        self.ordered(list(value), lambda _: place)
        return value

    def text(self, value: Any, place: str, pattern: re.Pattern[str], meaning: str) -> str:
        """Return a text of a form; ``meaning`` says which in errors."""
        if not isinstance(value, str):
            self.fail(place, f"expected {meaning}, found {kind(value)}")
        if not pattern.fullmatch(value):
            self.fail(place, f"{value!r} is not {meaning}")
        return value

    def choice(self, value: Any, place: str, choices: tuple[str, ...]) -> str:
        """Return one of several texts."""
        if value not in choices:
            shown = repr(value) if isinstance(value, str) else kind(value)
            self.fail(place, f"expected one of {', '.join(choices)}, found {shown}")
        return str(value)

    def array(self, value: Any, place: str) -> list[Any]:
        """Return a list."""
        if not isinstance(value, list):
            self.fail(place, f"expected a list, found {kind(value)}")
        return value

    def integer(self, value: Any, place: str, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(place, f"expected a whole number, found {kind(value)}")
        if not low <= value <= high:
            self.fail(place, f"{value} is out of range; it must be {low} to {high}")
        return int(value)

    def ordered(self, names: list[str], place: Callable[[int], str]) -> None:
        """Refuse names that are not sorted, or not each other's only one; ``place`` is that of one, by its index."""
        for index in range(1, len(names)):
            if names[index] == names[index - 1]:
                self.fail(place(index), f"{names[index]!r} is listed twice")
            if names[index] < names[index - 1]:
                self.fail(place(index), f"{names[index]!r} is out of order; the list must be sorted")


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """A document as this project writes every lock: sorted keys, two spaces, ASCII, a trailing newline."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def kind(value: Any) -> str:
    """Return what a JSON value is, for errors."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
