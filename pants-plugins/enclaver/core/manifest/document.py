"""YAML bytes to a tree of nodes that know their places, with everything that makes YAML dangerous refused.

The tree is composed here from pyyaml's events, not by its composer, for three reasons: nesting is bounded
before it costs anything (the composer recurses, and scanning ten thousand ``[`` takes pyyaml minutes),
aliases are seen before they are expanded, and scalars keep the text the user wrote instead of YAML 1.1's
reading of it (``no``, ``22:22``, ``0777``). What a plain scalar means follows YAML 1.2's core schema
(yaml.org/spec/1.2.2, 10.3.2), which is what Enclaver's own reader uses.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Never

import yaml

from enclaver.core.manifest.problems import ManifestError, Place, Problem, Source, quote
from enclaver.core.manifest.syntax import syntax_problem

# Bounds: real manifests have under 3 KB, 100 nodes and four levels.
MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32

# Control characters, U+FEFF inside the text, noncharacters, and the three line breaks that YAML 1.1 knows
# and editors do not: with them, line numbers would not be those the user sees.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Kind(Enum):
    """What a scalar is under YAML 1.2's core schema; the value is the word messages use."""

    NULL = "nothing"
    BOOL = "true or false"
    INT = "a number"
    FLOAT = "a decimal number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf: ``value`` is its text, ``plain`` whether it was written without quotes."""

    place: Place
    value: str
    plain: bool

    @property
    def kind(self) -> Kind:
        """What the scalar is; quoted and block scalars are always text."""
        if not self.plain:
            return Kind.TEXT
        if self.value in ("", "~", "null", "Null", "NULL"):
            return Kind.NULL
        if self.value in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return Kind.BOOL
        if _INT.fullmatch(self.value):
            return Kind.INT
        return Kind.FLOAT if _FLOAT.fullmatch(self.value) else Kind.TEXT


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the file's order; no key twice."""

    place: Place
    pairs: tuple[tuple[Scalar, Node], ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands for a value that was refused already, so that nothing more is said about it."""

    place: Place


Node = Scalar | Sequence | Mapping | Broken


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest's tree.

    ``problems`` are those that do not stop the reading (duplicate keys, aliases, tags), ``notes`` are
    harmless.
    """

    source: Source
    root: Node
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]


def compose(data: bytes, file: str) -> Document:
    """Read one YAML document.

    Args:
        data: the file's bytes; UTF-8, at most ``MAX_BYTES``.
        file: the name problems carry.

    Raises:
        ManifestError: the bytes are not one bounded YAML document; names the first place that shows it.
    """
    source, text = _decode(data, file)
    composer = _Composer(source, text)
    root = composer.document()
    notes = []
    if data.startswith(_UTF8_BOM):
        notes.append(
            source.problem(source.place(1, 1), "the file begins with a byte order mark, which UTF-8 does not need")
        )
    return Document(source, root, tuple(composer.problems), tuple(notes))


def _decode(data: bytes, file: str) -> tuple[Source, str]:
    if len(data) > MAX_BYTES:
        source = Source(file, data[:200].decode("utf-8", "replace"))
        raise ManifestError(
            file,
            [
                source.problem(
                    source.place(1, 1),
                    f"the file is larger than the {MAX_BYTES} bytes that a manifest can have",
                    "check that this is the manifest",
                )
            ],
        )
    body = data.removeprefix(_UTF8_BOM)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        source = Source(file, body.decode("utf-8", "replace"))
        before = Source(file, body[: error.start].decode("utf-8")).lines
        what = f"byte 0x{body[error.start]:02x} is not UTF-8"
        if data.startswith(_UTF16_BOMS):
            what = "the file is UTF-16, not UTF-8"
        place = source.place(len(before), len(before[-1]) + 1)
        raise ManifestError(file, [source.problem(place, what, "save the file as UTF-8")]) from None
    source = Source(file, text)
    if bad := _FORBIDDEN.search(text):
        before = Source(file, text[: bad.start()]).lines
        place = source.place(len(before), len(before[-1]) + 1)
        what = f"the file holds the character U+{ord(bad.group()):04X}, which no manifest needs"
        raise ManifestError(file, [source.problem(place, what, "remove the character")])
    return source, text


class _Composer:
    """Turns pyyaml's events into nodes; one use each."""

    def __init__(self, source: Source, text: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._nodes = 0
        self._last = source.place(1, 1)

    def document(self) -> Node:
        """The one document of the stream."""
        with contextlib.closing(self._events):  # type: ignore[type-var]  # yaml.parse is a generator.
            self._next()
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                self._fail_empty()
            root = self._node(self._next(), 1)
            self._next()
            event = self._next()
            if not isinstance(event, yaml.StreamEndEvent):
                self._fail(
                    self._place(event),
                    "a second YAML document begins here; a manifest is one document",
                    "put every manifest into a file of its own",
                )
        if isinstance(root, Scalar) and root.kind is Kind.NULL:
            self._fail_empty()
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = self._place(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._fail(place, f"the file holds more than {MAX_NODES} values", "check that this is the manifest")
        if depth > MAX_DEPTH:
            self._fail(place, f"the nesting is deeper than {MAX_DEPTH} levels", "a manifest has four at most")
        if isinstance(event, yaml.AliasEvent):
            self._add(
                place,
                f"{quote('*' + str(event.anchor))} is a YAML alias; a manifest has none",
                "write the value out; if it is text that starts with `*`, put it in quotes",
            )
            return Broken(place)
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._add(place, f"{quote('&' + event.anchor)} is a YAML anchor; a manifest has none", "remove it")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._add(place, f"the YAML tag {quote(str(tag))} has no meaning in a manifest", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(place, event.value, plain=event.style is None)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place, depth)
        return self._mapping(place, depth)

    def _sequence(self, place: Place, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Sequence(place, tuple(items))

    def _mapping(self, place: Place, depth: int) -> Mapping:
        pairs: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(self._next(), depth + 1)
            if not isinstance(key, Scalar):
                if not isinstance(key, Broken):
                    self._add(key.place, "a list or a mapping is used as a key", "use a plain word as the key")
            elif key.plain and key.value == "<<":
                self._add(key.place, "`<<` (YAML's merge key) is not supported", "write the keys out")
            elif key.value in pairs:
                first = pairs[key.value][0].place.line
                self._add(
                    key.place,
                    f"the key {quote(key.value)} is there twice; the first is on line {first}",
                    "keep one of the two",
                )
            else:
                pairs[key.value] = (key, value)
        return Mapping(place, tuple(pairs.values()))

    def _next(self) -> yaml.Event:
        try:
            event = next(self._events)
        except yaml.YAMLError as error:
            raise ManifestError(self._source.file, [*self.problems, syntax_problem(error, self._source)]) from None
        except (ValueError, OverflowError):
            # pyyaml lets chr() and int() speak for themselves: "\UFFFFFFFF", "%YAML" and 5,000 digits.
            self._fail(
                self._last,
                "after this place stands an escape or a version that is out of range",
                "correct it",
            )
        self._last = self._place(event)
        return event

    def _place(self, event: yaml.Event) -> Place:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        width = end.column - start.column if end.line == start.line else 10_000
        place = self._source.place(start.line + 1, start.column + 1)
        rest = len(self._source.lines[place.line - 1].rstrip()) - place.column + 1
        return Place(place.line, place.column, max(1, min(width, rest)))

    def _add(self, place: Place, message: str, cure: str) -> None:
        self.problems.append(self._source.problem(place, message, cure))

    def _fail_empty(self) -> Never:
        self._fail(self._source.place(1, 1), "the manifest is empty", "start with `version: v1`")

    def _fail(self, place: Place, message: str, cure: str) -> Never:
        self._add(place, message, cure)
        raise ManifestError(self._source.file, self.problems)
