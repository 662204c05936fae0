"""What pyyaml's syntax errors mean in a manifest, in the words of somebody who writes one."""

from __future__ import annotations

import re

import yaml

from enclaver.core.manifest.problems import Problem, Source, quote

_PATTERN = re.compile(r"\*[^\s,#\]}\"']*")
# Bounded, since it runs over a line that may be the whole file.
_BRACKETED_ADDRESS = re.compile(r"\[(?=[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]{2,45}\](/[0-9]{1,3})?(:[0-9]{1,5})?")
_BAD_START = re.compile(r"found character '(.+)' that cannot start any token")


def syntax_problem(error: yaml.YAMLError, source: Source) -> Problem:
    """The problem behind an error of pyyaml's scanner or parser."""
    mark = getattr(error, "problem_mark", None)
    context_mark = getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or "it cannot be read")
    context = str(getattr(error, "context", None) or "")
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    place = source.place(line, column)
    text = source.lines[place.line - 1]

    if context == "while scanning an alias" and context_mark is not None:
        place = source.place(context_mark.line + 1, context_mark.column + 1)
        found = _PATTERN.match(source.lines[place.line - 1], place.column - 1)
        pattern = found.group() if found else "*"
        return source.problem(
            source.place(place.line, place.column, len(pattern)),
            f"{quote(pattern)} starts with `*`, which is YAML's sign for an alias",
            "put it in quotes: " + quote(f'"{pattern}"'),
        )
    for found in _BRACKETED_ADDRESS.finditer(text):
        if found.start() < place.column <= found.end() + 1:
            return source.problem(
                source.place(place.line, found.start() + 1, len(found.group())),
                f"{quote(found.group())} starts with `[`, which is YAML's sign for a list",
                "put it in quotes: " + quote(f'"{found.group()}"'),
            )
    if bad := _BAD_START.match(problem):
        if bad.group(1) == "\\t":
            return source.problem(
                place, "a tab stands where YAML allows only spaces", "indent with spaces instead of tabs"
            )
        return source.problem(
            place, f"a value without quotes cannot start with `{bad.group(1)}`", "put the value in quotes"
        )
    if problem == "mapping values are not allowed here":
        return source.problem(
            place,
            "a `:` stands where no key can be",
            "check the indentation of this line and the one above; quote a value that contains `: `",
        )
    if problem == "could not find expected ':'" and context_mark is not None:
        return source.problem(
            source.place(context_mark.line + 1, context_mark.column + 1),
            "this is neither `key: value` nor a list item that fits here",
            "check the indentation, and the `:` after the key",
        )
    if context == "while scanning a quoted scalar" and context_mark is not None and "stream" in problem:
        return source.problem(
            source.place(context_mark.line + 1, context_mark.column + 1),
            "a quote opens here and never closes",
            "close it",
        )
    if problem.startswith("expected <block end>"):
        return source.problem(
            place,
            "the indentation does not fit the lines above",
            "align the keys of one mapping, and the dashes of one list",
        )
    since = f" {context}" if context else ""
    if context_mark is not None and mark is not None and context_mark.line != mark.line:
        since += f" that starts on line {context_mark.line + 1}"
    return source.problem(place, f"not valid YAML{since}: {problem}", "correct the YAML")
