from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image_lock, reference
from enclaver.core.oci.digest import Digest
from enclaver.core.oci.image_lock import ImageLock, LockedImage

ONE, TWO, THREE = (Digest("sha256", digit * 64) for digit in "123")
APP = reference.parse("app:1.0")
LOCK = ImageLock(
    {
        "docker.io/library/app:1.0": {"x86_64": LockedImage(ONE, TWO), "aarch64": LockedImage(None, THREE)},
        "127.0.0.1:5000/a/b:c": {"x86_64": LockedImage(None, ONE)},
    }
)
CURE = "\n  Make the lock again with `enclaver lock images`; it is not meant to be edited by hand."


def test_the_format() -> None:
    assert image_lock.render(ImageLock({"docker.io/library/app:1.0": {"x86_64": LockedImage(ONE, TWO)}})) == (
        b'{\n  "images": {\n    "docker.io/library/app:1.0": {\n      "x86_64": {\n'
        b'        "digest": "sha256:%b",\n        "image_id": "sha256:%b"\n      }\n    }\n  },\n  "version": 1\n}\n'
        % (b"1" * 64, b"2" * 64)
    )


def test_it_is_read_back_and_the_order_of_its_making_does_not_show() -> None:
    text = image_lock.render(LOCK)
    assert image_lock.parse(text, "x") == LOCK
    backwards = {name: dict(reversed(list(meanings.items()))) for name, meanings in reversed(list(LOCK.images.items()))}
    assert image_lock.render(ImageLock(backwards)) == text
    assert image_lock.parse(image_lock.render(ImageLock()), "x") == ImageLock()


def test_what_a_reference_means() -> None:
    assert LOCK.get(APP, "aarch64", file="x") == LockedImage(None, THREE)
    assert LOCK.find(reference.parse("other"), "x86_64") is None
    with pytest.raises(EnclaverError) as caught:
        LOCK.get(reference.parse("app"), "x86_64", file="f.lock")
    assert str(caught.value).startswith("f.lock: the lock does not pin app:latest for x86_64\n  Pin it: `enclaver lock")
    with pytest.raises(EnclaverError, match="pins 127.0.0.1:5000/a/b:c for x86_64, not for aarch64"):
        LOCK.get(reference.parse("127.0.0.1:5000/a/b:c"), "aarch64", file="x")


def test_what_is_found_anew_takes_the_place_of_the_old_and_of_nothing_else() -> None:
    other = reference.parse("other")
    found = LOCK.updated({APP: {"x86_64": LockedImage(THREE, ONE)}, other: {"aarch64": LockedImage(ONE, ONE)}})
    assert found.find(APP, "x86_64") == LockedImage(THREE, ONE)
    assert found.find(APP, "aarch64") == LOCK.find(APP, "aarch64")
    assert found.find(other, "aarch64") == LockedImage(ONE, ONE)
    assert found.images.keys() == {*LOCK.images, "docker.io/library/other:latest"}


def changed(images: dict[str, Any]) -> bytes:
    return json.dumps({"version": 1, "images": images}).encode()


GOOD = {"digest": None, "image_id": str(ONE)}
NAME = "docker.io/library/app:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "f.lock: line 1, column 2: this is not JSON"),
        (b"[]", "f.lock: expected an object, found a list"),
        (b'{"version": 2, "images": {}}', "f.lock: version: only version 1 of the lock format is known"),
        (b'{"version": true, "images": {}}', "f.lock: version: only version 1"),
        (b'{"version": 1, "image": {}}', "f.lock: unknown key 'image'; did you mean 'images'?"),
        (b'{"version": 1}', "f.lock: the key 'images' is missing"),
        (changed({"App": {"x86_64": GOOD}}), "f.lock: images['App']: `App` is not a Docker reference"),
        (
            changed({"app": {"x86_64": GOOD}}),
            f"images['app']: the reference is not written out; it is {NAME[:-1]}latest",
        ),
        (changed({NAME: {"x86_64": GOOD}, "a.io/x:1": {"x86_64": GOOD}}), "f.lock: images: 'a.io/x:1' is out of"),
        (changed({NAME: {}}), f"f.lock: images['{NAME}']: nothing is pinned"),
        (changed({NAME: {"amd64": GOOD}}), "architecture: expected one of x86_64, aarch64, found 'amd64'"),
        (changed({NAME: {"x86_64": []}}), f"images['{NAME}'].x86_64: expected an object, found a list"),
        (changed({NAME: {"x86_64": {"digest": None}}}), "the key 'image_id' is missing"),
        (changed({NAME: {"x86_64": {**GOOD, "image_id": None}}}), ".x86_64.image_id: expected `sha256:` and 64"),
        (changed({NAME: {"x86_64": {**GOOD, "digest": "sha256:1"}}}), ".x86_64.digest: 'sha256:1' is not `sha256:`"),
        (changed({NAME: []}), f"images['{NAME}']: expected an object"),
    ],
)
def test_what_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(EnclaverError) as caught:
        image_lock.parse(text, "f.lock")
    assert message in str(caught.value)
    assert str(caught.value).endswith(CURE)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / image_lock.NAME
    with pytest.raises(EnclaverError, match=r"enclave\.images\.lock: the lock cannot be read: No such file"):
        image_lock.load(path)
    path.write_bytes(image_lock.render(LOCK))
    assert image_lock.load(path) == LOCK
    path.write_bytes(b" " * (image_lock.MAX_BYTES + 1))
    with pytest.raises(EnclaverError, match="no such lock does"):
        image_lock.load(path)


_DIGESTS = st.integers(0, 15).map(lambda number: Digest("sha256", f"{number:x}" * 64))
_MEANINGS = st.dictionaries(
    st.sampled_from(["x86_64", "aarch64"]), st.builds(LockedImage, st.none() | _DIGESTS, _DIGESTS), min_size=1
)
_NAMES = st.from_regex(r"[a-z]{1,8}(?:/[a-z]{1,8})?:[a-z0-9]{1,8}", fullmatch=True).map(
    lambda text: str(reference.parse(text))
)


@given(st.dictionaries(_NAMES, _MEANINGS))
def test_any_lock_is_read_back(images: dict[str, dict[str, LockedImage]]) -> None:
    assert image_lock.parse(image_lock.render(ImageLock(images)), "x").images == images


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["version", "images", NAME, "x86_64"]), inner),
)


@given(_JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_bytes_are_a_lock_or_refused(text: bytes) -> None:
    try:
        found = image_lock.parse(text, "x")
    except EnclaverError:
        return
    assert image_lock.parse(image_lock.render(found), "x") == found
