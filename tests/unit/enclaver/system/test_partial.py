from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path

import pytest

from enclaver.system.partial import Incoming, locked

DATA = b"some bytes"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("had", [0, 4, len(DATA)])
def test_a_file_grows_to_what_its_digest_says(algorithm: str, had: int) -> None:
    file = io.BytesIO(DATA[:had])
    incoming = Incoming(file, f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}", len(DATA))
    assert (incoming.size, incoming.room, incoming.is_whole) == (had, len(DATA) - had, had == len(DATA))
    incoming.append(DATA[had:])
    assert (incoming.size, incoming.room, incoming.is_whole) == (len(DATA), 0, True)
    assert file.getvalue() == DATA


def test_it_begins_anew() -> None:
    file = io.BytesIO(b"wrong")
    incoming = Incoming(file, f"sha256:{hashlib.sha256(DATA).hexdigest()}", 100)
    incoming.restart()
    incoming.append(DATA)
    assert incoming.is_whole
    assert incoming.found == incoming.digest
    assert file.getvalue() == DATA


def test_what_is_too_long_is_no_beginning() -> None:
    file = io.BytesIO(DATA)
    assert Incoming(file, "sha256:x", len(DATA) - 1).size == 0
    assert file.getvalue() == b""


def test_one_adds_at_a_time_and_nobody_to_what_was_renamed(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    found: list[int] = []
    told = threading.Event()

    def wait() -> None:
        with locked(path, waiting=told.set) as file:
            found.append(os.fstat(file.fileno()).st_ino)

    with locked(path) as file:
        file.write(b"x")
        first = os.fstat(file.fileno()).st_ino
        thread = threading.Thread(target=wait)
        thread.start()
        assert told.wait(60)
        os.replace(path, tmp_path / "x")
    thread.join()
    assert found != [first]
    assert path.exists()
