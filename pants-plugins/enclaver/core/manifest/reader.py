"""Typed access to the nodes of a manifest: every value is either what its key wants or a problem."""

from __future__ import annotations

import re

from enclaver.core.manifest.document import Broken, Document, Kind, Mapping, Node, Scalar, Sequence
from enclaver.core.manifest.problems import Place, Problem, quote
from enclaver.core.manifest.schema import LEVELS, unknown_key

_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")


class Report:
    """What one reading of a document finds: problems, notes, and the places of all keys."""

    def __init__(self, document: Document) -> None:
        self.source = document.source
        self.problems: list[Problem] = list(document.problems)
        self.notes: list[Problem] = list(document.notes)
        self.places: dict[str, Place] = {}

    def error(self, place: Place, key: str, message: str, cure: str | None = None) -> None:
        """Record a problem that refuses the manifest."""
        self.problems.append(self.source.problem(place, message, cure, key=key))

    def note(self, place: Place, key: str, message: str, cure: str | None = None) -> None:
        """Record a remark that refuses nothing."""
        self.notes.append(self.source.problem(place, message, cure, key=key))

    def text(self, node: Node, key: str) -> str | None:
        """Text that can be shown, or None after recording why it is not."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Scalar):
            self.error(
                node.place,
                key,
                f"`{key}` is {kind_name(node)}, not text",
                _text_cure(node, key.rpartition(".")[2]),
            )
        elif node.kind is Kind.NULL or not node.value:
            self.error(node.place, key, f"`{key}` is empty", "give it a value")
        elif node.kind is not Kind.TEXT:
            self.error(
                node.place,
                key,
                f"`{key}` is {node.kind.value} ({quote(node.value)}), not text",
                "if the text is meant, put it in quotes: " + quote(f'"{node.value}"'),
            )
        elif not node.value.isprintable():
            self.error(
                node.place,
                key,
                f"`{key}` holds a line break or another unprintable character: {quote(node.value)}",
                "write it on one line, without escapes",
            )
        else:
            return node.value
        return None

    def integer(self, node: Node, key: str, lowest: int, highest: int) -> int | None:
        """A plain decimal number within its range, or None after recording why it is not."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Scalar):
            self.error(node.place, key, f"`{key}` is {kind_name(node)}, not a number", "write one number")
            return None
        if node.kind is Kind.NULL:
            self.error(node.place, key, f"`{key}` is empty", "give it a number")
            return None
        if not node.plain and _INTEGER.fullmatch(node.value):
            self.error(node.place, key, f"`{key}` is text, not a number", f"remove the quotes: {quote(node.value)}")
            return None
        if not _INTEGER.fullmatch(node.value):
            self.error(
                node.place,
                key,
                f"`{key}` is {quote(node.value)}, not a whole decimal number",
                f"write decimal digits only, from {lowest} to {highest}",
            )
            return None
        number = int(node.value)
        if not lowest <= number <= highest:
            self.error(
                node.place,
                key,
                f"`{key}` is {number}, out of its range",
                f"write a number from {lowest} to {highest}",
            )
            return None
        return number

    def items(self, node: Node, key: str, cure: str) -> tuple[Node, ...]:
        """The items of a list; empty after recording that the value is something else."""
        if isinstance(node, Sequence):
            return node.items
        if not isinstance(node, Broken):
            self.error(node.place, key, f"`{key}` is {kind_name(node)}, not a list", cure)
        return ()

    def fields(self, node: Node, level: str, path: str, opener: Place) -> Fields | None:
        """The keys of a mapping, or None after recording that the value is something else."""
        if isinstance(node, Mapping):
            return Fields(self, node, level, path, opener)
        if not isinstance(node, Broken):
            name = f"`{path}`" if path else "the manifest"
            cure = "write its keys below it, indented, each as `key: value`"
            self.error(
                node.place,
                path,
                f"{name} is {kind_name(node)}, not a mapping of keys",
                cure if path else "start with `version: v1`",
            )
        return None


class Fields:
    """The keys of one mapping.

    Args:
        report: where problems go.
        node: the mapping; unknown keys in it are recorded at once.
        level: its name in ``schema.LEVELS``.
        path: its name in this file (``ingress[1]``), empty at the top.
        opener: where a missing key is reported: the key that opens the mapping.
    """

    def __init__(self, report: Report, node: Mapping, level: str, path: str, opener: Place) -> None:
        self._report = report
        self._path = path
        self._opener = opener
        self._values: dict[str, Node] = {}
        for key, value in node.pairs:
            if key.value in LEVELS[level]:
                self._values[key.value] = value
                report.places[self.path(key.value)] = key.place
            else:
                message, cure = unknown_key(level, key.value)
                report.error(key.place, self.path(key.value), message, cure)

    def path(self, key: str) -> str:
        """The path of a key of this mapping, as messages and ``places`` name it."""
        return f"{self._path}.{key}" if self._path else key

    def place(self, key: str) -> Place:
        """Where a key stands; the opener of the mapping when it does not."""
        return self._report.places.get(self.path(key), self._opener)

    def get(self, key: str) -> Node | None:
        """The value of an optional key; None when it is absent or null."""
        node = self._values.get(key)
        return None if node is None or (isinstance(node, Scalar) and node.kind is Kind.NULL) else node

    def require(self, key: str, cure: str) -> Node | None:
        """The value of a required key, or None after recording that it is missing."""
        if (node := self.get(key)) is not None:
            return node
        state = "has no value" if key in self._values else "is missing"
        self._report.error(self.place(key), self.path(key), f"`{self.path(key)}` {state}", cure)
        return None

    def text(self, key: str, cure: str) -> str | None:
        """The text of a required key."""
        node = self.require(key, cure)
        return None if node is None else self._report.text(node, self.path(key))

    def port(self, key: str) -> int | None:
        """The port number of a required key."""
        node = self.require(key, f"add `{key}:` and a port number")
        return None if node is None else self._report.integer(node, self.path(key), 1, 65535)

    def section(self, key: str, level: str) -> Fields | None:
        """The keys of an optional mapping; None when it is absent, null or no mapping."""
        node = self.get(key)
        return None if node is None else self._report.fields(node, level, self.path(key), self.place(key))


def kind_name(node: Node) -> str:
    """What a node is, as messages say it."""
    if isinstance(node, Scalar):
        return node.kind.value if node.kind is Kind.NULL else f"{node.kind.value} ({quote(node.value)})"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _text_cure(node: Node, name: str) -> str:
    if isinstance(node, Mapping) and len(node.pairs) == 1:
        key, value = node.pairs[0]
        if isinstance(value, Scalar) and value.plain and value.value:
            # `- example.com: 443` and `name: {{ placeholder }}` end here.
            return f"write it without a space after the `:`, or in quotes: {quote(f'{key.value}:{value.value}')}"
    return "write plain text" if not name else "write one line of text after the `:`"
