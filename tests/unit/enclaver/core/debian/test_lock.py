"""The lock's format: what is written is read back, and nothing else is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.debian import lock
from enclaver.core.errors import EnclaverError

PACKAGE: dict[str, Any] = {
    "name": "dash",
    "version": "0.5.12-2",
    "architecture": "amd64",
    "archive": "debian",
    "path": "pool/main/d/dash/dash_0.5.12-2_amd64.deb",
    "sha256": "a" * 64,
    "size": 97508,
}
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "suite": "bookworm",
    "architecture": "amd64",
    "requested": ["dash"],
    "packages": [PACKAGE],
}


def changed(place: str, value: Any) -> bytes:
    """The document with one value changed; ``place`` is dotted, numbers are indexes."""
    document = json.loads(json.dumps(DOCUMENT))
    target = document
    *parents, last = place.split(".")
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    target[last] = value
    return json.dumps(document).encode()


names = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,12}", fullmatch=True)
versions = st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~-]{0,12}", fullmatch=True)
packages = st.builds(
    lock.Package,
    name=names,
    version=versions,
    architecture=st.sampled_from(["amd64", "all"]),
    archive=st.sampled_from(lock.ARCHIVES),
    path=st.from_regex(r"pool/[a-z0-9+_]{1,8}/[a-z0-9+._~-]{1,8}x\.deb", fullmatch=True),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    size=st.integers(1, lock.MAX_PACKAGE_SIZE),
)


@pytest.mark.slow
@given(st.lists(packages, unique_by=lambda p: p.name, max_size=6))
def test_what_is_rendered_is_read_back(found: list[lock.Package]) -> None:
    ordered = tuple(sorted(found, key=lambda p: p.name))
    wanted = lock.Lock("bookworm", "amd64", tuple(p.name for p in ordered), ordered)
    text = lock.render(wanted)
    assert lock.parse(text, "x.json") == wanted
    assert lock.render(lock.parse(text, "x.json")) == text
    assert lock.render(lock.Lock("bookworm", "amd64", wanted.requested[::-1], ordered[::-1])) == text


def test_rendered_form_is_canonical() -> None:
    text = lock.render(lock.parse(json.dumps(DOCUMENT).encode(), "x.json"))
    assert text.endswith(b"}\n")
    assert text == (json.dumps(DOCUMENT, indent=2, sort_keys=True) + "\n").encode()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("version", 2, "version: only version 1"),
        ("version", True, "version: only version 1"),
        ("suite", "Bookworm!", "suite: 'Bookworm!' is not a suite's name"),
        ("architecture", "x86_64", "architecture: expected one of amd64, arm64, found 'x86_64'"),
        ("requested", "dash", "requested: expected a list, found text"),
        ("requested", [1], "requested[0]: expected a package name, found a number"),
        ("requested", ["dash", "dash"], "requested[1]: 'dash' is listed twice"),
        ("requested", ["dash=1", "bash"], "requested[1]: 'bash' is out of order"),
        ("requested", ["bash"], "requested[0]: 'bash' is requested, but not among the packages"),
        ("requested", ["dash="], "requested[0]: '' is not a package version"),
        ("packages", {}, "packages: expected a list, found an object"),
        ("packages", [PACKAGE, PACKAGE], "packages[1].name: 'dash' is listed twice"),
        ("packages", [PACKAGE, {**PACKAGE, "name": "bash"}], "packages[1].name: 'bash' is out of order"),
        ("packages", [[]], "packages[0]: expected an object, found a list"),
        ("packages.0.sha265", "", "packages[0]: unknown key 'sha265'; did you mean 'sha256'?"),
        ("packages.0.url", "", "packages[0]: unknown key 'url'; the keys are name, version"),
        ("packages.0.name", "Dash", "packages[0].name: 'Dash' is not a package name"),
        ("packages.0.name", None, "packages[0].name: expected a package name, found null"),
        ("packages.0.version", "1 2", "packages[0].version: '1 2' is not a package version"),
        ("packages.0.architecture", "arm64", "packages[0].architecture: expected one of all, amd64"),
        ("packages.0.archive", "ubuntu", "packages[0].archive: expected one of debian, debian-security"),
        ("packages.0.archive", [], "packages[0].archive: expected one of debian, debian-security, found a list"),
        ("packages.0.path", "/pool/x.deb", "packages[0].path: '/pool/x.deb' is not a relative path"),
        ("packages.0.path", "pool/../x.deb", "packages[0].path: 'pool/../x.deb' is not a relative path"),
        ("packages.0.path", "pool//x.deb", "packages[0].path: 'pool//x.deb' is not a relative path"),
        ("packages.0.path", "pool/x.udeb/", "packages[0].path: 'pool/x.udeb/' is not a relative path"),
        ("packages.0.path", 1, "packages[0].path: expected a path inside the archive, found a number"),
        ("packages.0.sha256", "A" * 64, f"packages[0].sha256: '{'A' * 64}' is not 64 lower-case hex digits"),
        ("packages.0.sha256", "a" * 63, "packages[0].sha256"),
        ("packages.0.sha256", "a" * 64 + "\n", "packages[0].sha256"),
        ("packages.0.size", "1", "packages[0].size: expected a whole number, found text"),
        ("packages.0.size", True, "packages[0].size: expected a whole number, found true or false"),
        ("packages.0.size", 0, "packages[0].size: 0 is out of range"),
        ("packages.0.size", 1 << 60, "packages[0].size"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(place: str, value: Any, message: str) -> None:
    with pytest.raises(EnclaverError) as error:
        lock.parse(changed(place, value), "x.json")
    assert str(error.value).startswith(f"x.json: {message}")
    assert "enclaver lock debian" in str(error.value)


@pytest.mark.parametrize("key", [*DOCUMENT])
def test_every_key_is_needed(key: str) -> None:
    document = {name: value for name, value in DOCUMENT.items() if name != key}
    with pytest.raises(EnclaverError, match=f"the key '{key}' is missing"):
        lock.parse(json.dumps(document).encode(), "x.json")


@pytest.mark.parametrize("key", [*PACKAGE])
def test_every_key_of_a_package_is_needed(key: str) -> None:
    package = {name: value for name, value in PACKAGE.items() if name != key}
    with pytest.raises(EnclaverError, match=rf"packages\[0\]: the key '{key}' is missing"):
        lock.parse(json.dumps({**DOCUMENT, "packages": [package]}).encode(), "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "x.json: line 1, column 1: this is not JSON"),
        (b"{", "x.json: line 1, column 2: this is not JSON"),
        (b"[]", "x.json: expected an object, found a list"),
        (b"\xff", "x.json: byte 0: the file is not UTF-8 text"),
        (b'{"version": 1, "version": 1}', "x.json: key 'version': the key is given twice"),
        (b'{"version": NaN}', "x.json: NaN is not JSON"),
        (b"[" * 100_000, "x.json: the document is nested too deeply"),
        (b'{"version": ' + b"9" * 5000 + b"}", "x.json: this is not JSON that can be read"),
    ],
)
def test_what_is_no_lock_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(EnclaverError) as error:
        lock.parse(text, "x.json")
    assert str(error.value).startswith(message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DOCUMENT, *PACKAGE]), inner),
    max_leaves=12,
)


@given(st.sampled_from([*DOCUMENT, *(f"packages.0.{key}" for key in PACKAGE)]), json_values)
def test_any_json_is_read_or_refused(place: str, value: Any) -> None:
    try:
        found = lock.parse(changed(place, value), "x.json")
    except EnclaverError:
        return
    assert lock.parse(lock.render(found), "x.json") == found


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(EnclaverError):
        lock.parse(text, "x.json")


def test_load_reads_a_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock.json"
    with pytest.raises(EnclaverError, match=r"x\.lock\.json: the lock cannot be read: No such file"):
        lock.load(path)
    path.write_text(json.dumps(DOCUMENT))
    assert lock.load(path).packages[0].label == "dash=0.5.12-2"


def test_a_package_outside_of_a_lock_is_held_to_the_same_rules() -> None:
    found = lock.parse_package(PACKAGE, file="source.lock.json", place="package")
    assert lock.package_json(found) == PACKAGE
    with pytest.raises(EnclaverError, match=r"source\.lock\.json: package\.size"):
        lock.parse_package({**PACKAGE, "size": None}, file="source.lock.json", place="package")
