"""The app as the rules describe it: what lies in its folder, whose it is and how it is to run. JSON, version 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from enclaver.core.errors import EnclaverError, in_file
from enclaver.core.rootfs.entry import check_path
from enclaver.core.rootfs.regular import open_regular

VERSION: Final = 1
KINDS: Final = ("archive", "file", "package")
_SAME_RELEASE: Final = "Use the backend and the tool of one release."


@dataclass(frozen=True, slots=True)
class AppItem:
    """One thing an app is made of.

    Args:
        path: below the app's folder: a file, or a folder.
        laid_as: path below ``/app``.
        kind: ``package`` (a PEX is unpacked, all else is laid as it is), ``archive`` (unpacked), ``file``.
        target: the address of the target that brought it.
    """

    path: str
    laid_as: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class AppDescription:
    """An app: its items, and how it runs (``entrypoint`` is empty when the app is to say itself).

    ``drop_xattrs``: leave out what a ramdisk cannot hold of an app that is an image.
    """

    architecture: str
    items: tuple[AppItem, ...]
    entrypoint: tuple[str, ...]
    args: tuple[str, ...]
    env: dict[str, str]
    drop_xattrs: bool = False


def load(path: Path) -> AppDescription:
    """Read a description.

    Raises:
        EnclaverError: it isn't of this version: whoever wrote it is of another release.
    """
    with open_regular(path) as (file, _):
        data = file.read()
    with in_file(path):
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EnclaverError(f"no JSON: {error}", cure=_SAME_RELEASE) from error
        return _description(value)


def _description(value: Any) -> AppDescription:
    keys = {"version", "architecture", "items", "entrypoint", "args", "env", "drop_xattrs"}
    found = _object(value, keys, "the app")
    if found["version"] != VERSION:
        raise EnclaverError(f"app description of version {found['version']!r}, not {VERSION}", cure=_SAME_RELEASE)
    if not isinstance(found["items"], list):
        raise _wrong("items")
    return AppDescription(
        architecture=_text(found["architecture"], "architecture"),
        items=tuple(_item(item, f"items[{index}]") for index, item in enumerate(found["items"])),
        entrypoint=_texts(found["entrypoint"], "entrypoint"),
        args=_texts(found["args"], "args"),
        env=_env(found["env"]),
        drop_xattrs=_flag(found["drop_xattrs"], "drop_xattrs"),
    )


def _item(value: Any, place: str) -> AppItem:
    found = _object(value, {"path", "as", "kind", "target"}, place)
    item = AppItem(*(_text(found[key], f"{place}.{key}") for key in ("path", "as", "kind", "target")))
    if item.kind not in KINDS:
        raise EnclaverError(f"unknown kind of item {item.kind!r}", place=place, cure=_SAME_RELEASE)
    check_path(item.path)
    check_path(item.laid_as)
    return item


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(place)
    return value


def _env(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _wrong("env")
    return {name: _text(text, f"env.{name}") for name, text in value.items()}


def _object(value: Any, keys: set[str], place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != keys:
        raise _wrong(place)
    return value


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(place)
    return tuple(_text(item, place) for item in value)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise _wrong(place)
    return value


def _wrong(place: str) -> EnclaverError:
    return EnclaverError("is not described as it must be", place=place, cure=_SAME_RELEASE)
