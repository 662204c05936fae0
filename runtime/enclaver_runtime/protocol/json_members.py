"""A JSON object as its members' own text: what is not touched leaves as it came, to the last digit.

Reading numbers into Python and writing them again may change them, and so may texts; a proxy that adds one member
has no business with the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NoReturn

# RFC 8259, 2: what may stand between tokens.
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonError(ValueError):
    """It is no JSON object, or one with a key twice; the text continues a sentence that names it."""


def split(data: bytes) -> dict[str, str]:
    """The members of the object that ``data`` is, in its order: each key, and its value's JSON as it was written.

    Raises:
        JsonError: it is not one JSON object in UTF-8, or has a key twice.
    """
    try:
        return _split(data.decode("utf-8"))
    except JsonError:
        raise
    except (ValueError, RecursionError) as error:
        raise JsonError(f"is not JSON in UTF-8: {error}") from error


def join(members: Mapping[str, str]) -> bytes:
    """The JSON of an object with these members, whose values are JSON already."""
    return ("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members.items()) + "}").encode()


def text_of(value: str) -> str | None:
    """The text that a member's JSON stands for; None when it is another type of value."""
    text = _DECODER.decode(value)
    return text if isinstance(text, str) and value.startswith('"') else None


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"is not JSON: {name} is no number of it")


# Numbers are left as texts: what they stand for is nobody's business here, and some have no end.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)


def _split(text: str) -> dict[str, str]:
    members: dict[str, str] = {}
    at = _token(text, 0, "{")
    if text.startswith("}", at):
        return _whole(members, text, at)
    while True:
        if not text.startswith('"', at):
            raise JsonError(f"is no JSON object: a key is missing at character {at}")
        key, at = _DECODER.raw_decode(text, at)
        if key in members:
            raise JsonError(f"has the key {key[:40]!a} twice")
        start = _token(text, _skip(text, at), ":")
        _, at = _DECODER.raw_decode(text, start)
        members[key] = text[start:at]
        at = _skip(text, at)
        if not text.startswith(",", at):
            return _whole(members, text, at)
        at = _skip(text, at + 1)


def _whole(members: dict[str, str], text: str, at: int) -> dict[str, str]:
    if (end := _token(text, at, "}")) != len(text):
        raise JsonError(f"is no JSON object: something follows it at character {end}")
    return members


def _token(text: str, at: int, token: str) -> int:
    """Behind ``token``, which must come next, and the space after it."""
    at = _skip(text, at)
    if not text.startswith(token, at):
        raise JsonError(f"is no JSON object: {token} is missing at character {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()
