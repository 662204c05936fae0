"""The JSON documents of an image, strictly read: errors name the key, and none can cost more than its size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import limits
from enclaver.core.rootfs.entry import FileContent

Object = Mapping[str, Any]
_AGAIN: Final = "Save or pull the image again."
_MOST: Final = 10_000


def load(content: FileContent) -> bytes:
    """Return a document's bytes.

    Raises:
        EnclaverError: there are more than a registry would take, or they can't be read.
    """
    if content.size > limits.DOCUMENT:
        raise EnclaverError(f"is {content.size} bytes; no such document has more than {limits.DOCUMENT}")
    return content.head(content.size)


def parse(data: bytes) -> Any:
    """Parse JSON.

    Raises:
        EnclaverError: it is none, or an object has a key twice, of which programs take one or the other.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise EnclaverError(f"is no JSON: {error}", cure=_AGAIN) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def as_object(value: object, place: str) -> Object:
    """Return an object. Raises EnclaverError when the value is none."""
    if not isinstance(value, dict):
        raise wrong(place, "an object")
    return value


def child(value: Object, key: str) -> Object:
    """Return a key's object; where it is missing or null, an empty one. Raises EnclaverError."""
    found = value.get(key)
    return {} if found is None else as_object(found, key)


def objects(value: Object, key: str) -> list[Object]:
    """Return a key's list of objects; where it is missing or null, an empty one. Raises EnclaverError."""
    return [as_object(item, f"{key}[{index}]") for index, item in enumerate(_list(value, key))]


def text(value: Object, key: str, default: str | None = None) -> str:
    """Return a key's text.

    Raises:
        EnclaverError: it is none, or it is missing (or null) and there is no default.
    """
    found = value.get(key)
    if found is None and default is not None:
        return default
    if not _is_text(found):
        raise wrong(key, "a text")
    return str(found)


def texts(value: Object, key: str) -> tuple[str, ...]:
    """Return a key's list of texts; where it is missing or null, an empty one. Raises EnclaverError."""
    found = _list(value, key)
    if not all(map(_is_text, found)):
        raise wrong(key, "a list of texts")
    return tuple(found)


def size(value: Object, key: str) -> int:
    """Return a key's number of bytes. Raises EnclaverError when it is none."""
    found = value.get(key)
    if type(found) is not int or found < 0:
        raise wrong(key, "a size in bytes")
    return found


def wrong(place: str, what: str) -> EnclaverError:
    """Return the error for a key that has not what it must have."""
    return EnclaverError(f"`{place}` is not {what}", cure=_AGAIN)


def _is_text(value: object) -> bool:
    """Whether a value is text that Linux could take; half of a surrogate pair is none."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def _list(value: Object, key: str) -> list[Any]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > _MOST:
        raise wrong(key, f"a list of at most {_MOST}")
    return found
