"""Fetching by digest from mirrors that are gone, slow, cut short or wrong: the right bytes or a clear error."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system.download import TransferError
from enclaver.system.fetch import Fetcher, Item
from tests.loopback_mirror import Mirror, serve

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with serve(monkeypatch) as found:
        yield found


def give(url: str) -> Callable[[], str]:
    return partial(str, url)


def item(*urls: str, data: bytes = DATA, label: str = "dash=1.0") -> Item:
    places = tuple((url.rpartition("/")[2], give(url)) for url in urls)
    return Item(label, hashlib.sha256(data).hexdigest(), len(data), places)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch(cache: Path, *items: Item, timeout: float = 0.2) -> list[bytes]:
    lines: list[str] = []
    fetcher = Fetcher(cache, timeout=timeout, pauses=(0.0, 0.0), progress=lines.append)
    found = [path.read_bytes() for path in fetcher.fetch(items, cache.parent / "out")]
    assert len(lines) == len(items)
    return found


def test_files_come_by_their_digest_and_in_order(mirror: Mirror, cache: Path) -> None:
    contents = [bytes([n]) * (n * 1000 + 1) for n in range(12)]
    mirror.files = {f"/{n}": data for n, data in enumerate(contents)}
    items = [item(f"{mirror.root}/{n}", data=data, label=f"p{n}") for n, data in enumerate(contents)]
    assert fetch(cache, *items) == contents
    assert sorted(path.name for path in cache.iterdir()) == sorted(i.sha256 for i in items)
    assert sorted(path.name for path in (cache.parent / "out").iterdir()) == sorted(f"{i.sha256}.deb" for i in items)


def test_nothing_to_fetch(cache: Path) -> None:
    assert fetch(cache) == []


def test_an_empty_file(mirror: Mirror, cache: Path) -> None:
    mirror.files["/x"] = b""
    assert fetch(cache, item(f"{mirror.root}/x", data=b"")) == [b""]


def test_the_cache_is_used_and_not_trusted(mirror: Mirror, cache: Path) -> None:
    mirror.files["/x"] = DATA
    fetch(cache, item(f"{mirror.root}/x"))
    fetch(cache, item(f"{mirror.root}/x"))
    assert len(mirror.requests) == 1
    (cache / SHA256).unlink()
    (cache / SHA256).write_bytes(b"X" * len(DATA))
    assert fetch(cache, item(f"{mirror.root}/x")) == [DATA]
    assert len(mirror.requests) == 2


def test_what_came_of_an_earlier_run_is_resumed(mirror: Mirror, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{SHA256}.part").write_bytes(DATA[:1000])
    mirror.files["/x"] = DATA
    assert fetch(cache, item(f"{mirror.root}/x")) == [DATA]
    assert mirror.requests == [("/x", "bytes=1000-")]
    assert [path.name for path in cache.iterdir()] == [SHA256]


@pytest.mark.parametrize("leftover", [b"wrong beginning", b"wrong" * len(DATA), b"X" * len(DATA)])
def test_a_wrong_beginning_is_thrown_away(mirror: Mirror, cache: Path, leftover: bytes) -> None:
    cache.mkdir()
    (cache / f"{SHA256}.part").write_bytes(leftover)
    mirror.files["/x"] = DATA
    assert fetch(cache, item(f"{mirror.root}/x")) == [DATA]


def test_the_rest_comes_from_the_next_mirror(mirror: Mirror, cache: Path) -> None:
    mirror.files = {"/a": DATA, "/b": DATA}
    mirror.faults["/a"] = ["cut", "503", "503", "503"]
    assert fetch(cache, item(f"{mirror.root}/a", f"{mirror.root}/b")) == [DATA]
    half = f"bytes={len(DATA) // 2}-"
    assert mirror.requests == [("/a", None), ("/a", half), ("/a", half), ("/b", half)]


@pytest.mark.slow
def test_a_stalled_mirror_is_tried_again_and_then_left(mirror: Mirror, cache: Path) -> None:
    mirror.files = {"/a": DATA, "/b": DATA}
    mirror.faults["/a"] = ["stall", "..."]
    assert fetch(cache, item(f"{mirror.root}/a", f"{mirror.root}/b")) == [DATA]
    assert [path for path, _ in mirror.requests] == ["/a", "/a", "/a", "/b"]


def test_a_mirror_that_cannot_be_reached_for_a_moment_is_waited_for(mirror: Mirror, cache: Path) -> None:
    mirror.files["/x"] = DATA
    asked: list[float] = []

    def locate() -> str:
        asked.append(0)
        # Its name is not found at first, as in a network that is just coming up.
        return f"{mirror.root}/x" if len(asked) > 2 else "http://nowhere.invalid/x"

    assert fetch(cache, Item("dash=1.0", SHA256, len(DATA), (("mirror", locate),))) == [DATA]
    assert len(asked) == 3


def test_one_failure_ends_the_pauses_of_the_others(mirror: Mirror, cache: Path) -> None:
    mirror.files["/busy"] = DATA
    mirror.faults["/busy"] = ["503"] * 100
    pauses = (3600.0,)
    busy, gone = item(f"{mirror.root}/busy"), item(f"{mirror.root}/gone", data=b"x" * 3)
    with pytest.raises(EnclaverError, match="gone: HTTP 404"):
        Fetcher(cache, timeout=5, pauses=pauses).fetch([busy, gone], cache.parent / "out")


def test_wrong_bytes_are_never_handed_out(mirror: Mirror, cache: Path) -> None:
    wrong = DATA[:-1] + b"X"
    mirror.files = {"/wrong": wrong, "/short": DATA[:-1], "/long": DATA + b"X", "/right": DATA}
    urls = [f"{mirror.root}/{name}" for name in ("wrong", "short", "long", "gone")]
    assert fetch(cache, item(*urls, f"{mirror.root}/right")) == [DATA]


def test_the_error_names_the_package_and_every_mirror_with_its_reason(mirror: Mirror, cache: Path) -> None:
    mirror.files = {"/wrong": DATA[:-1] + b"X", "/short": DATA[:5]}

    def lost() -> str:
        raise TransferError("it does not know dash")

    wanted = item(*(f"{mirror.root}/{name}" for name in ("gone", "wrong", "short")))
    with pytest.raises(EnclaverError) as error:
        fetch(cache, Item(wanted.label, wanted.sha256, wanted.size, (*wanted.places, ("snapshot", lost))))
    assert str(error.value) == (
        f"dash=1.0 (sha256 {SHA256}, {len(DATA)} bytes) could not be fetched:\n"
        "    gone: HTTP 404 Not Found\n"
        "    wrong: it serves other bytes: the sha256 differs\n"
        f"    short: it ended after 5 of {len(DATA)} bytes\n"
        "    snapshot: it does not know dash\n"
        "  Name a mirror that has it with --mirror, check the network, or make the lock again if the package has "
        "left the archive."
    )
    assert list((cache.parent / "out").iterdir()) == []
    with pytest.raises(EnclaverError, match="there is no mirror to ask"):
        fetch(cache, item())


def test_one_failure_stops_the_others_soon(mirror: Mirror, cache: Path) -> None:
    mirror.files = {f"/{n}": bytes([n]) * 100 for n in range(40)}
    items = [item(f"{mirror.root}/{n}", data=bytes([n]) * 100, label=f"p{n}") for n in range(40)]
    missing = item(f"{mirror.root}/missing", data=b"m" * 1000, label="missing")
    with pytest.raises(EnclaverError, match="missing"):
        fetch(cache, *items, missing)


@pytest.mark.slow
def test_concurrent_runs_share_a_cache(mirror: Mirror, cache: Path) -> None:
    big = os.urandom(1 << 16)
    mirror.files["/x"] = big
    mirror.faults["/x"] = ["cut", "cut"]
    results: list[bytes] = []

    def run(number: int) -> None:
        wanted = item(f"{mirror.root}/x", data=big)
        [path] = Fetcher(cache, timeout=1, pauses=(0.0, 0.0)).fetch([wanted], cache.parent / f"out{number}")
        results.append(path.read_bytes())

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [big] * 6
    assert len(mirror.requests) == 3
    assert [path.name for path in cache.iterdir()] == [hashlib.sha256(big).hexdigest()]


def test_a_file_mirror(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    assert fetch(cache, item(f"file://{tmp_path}/gone", f"file://{tmp_path}/x")) == [DATA]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnclaverError, match="the folder cannot be made"):
        Fetcher(tmp_path / "file" / "cache").fetch([], tmp_path / "out")


def test_a_cache_that_cannot_be_written_is_an_error(mirror: Mirror, cache: Path) -> None:
    mirror.files["/x"] = DATA
    (cache / f"{SHA256}.part").mkdir(parents=True)
    with pytest.raises(EnclaverError, match=r"cannot store dash=1\.0"):
        fetch(cache, item(f"{mirror.root}/x"))


def test_the_output_may_be_on_another_file_system(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    mirror.files["/x"] = DATA
    assert fetch(cache, item(f"{mirror.root}/x")) == [DATA]
