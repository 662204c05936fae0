from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system.blob_cache import BlobCache
from enclaver.system.partial import Incoming

DATA = b"some bytes" * 1000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
NAME = DIGEST[7:]


def fill(incoming: Incoming) -> None:
    incoming.append(DATA[incoming.size :])


def never(incoming: Incoming) -> None:
    pytest.fail("it is there already")


def test_a_blob_is_brought_once(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "new" / "cache")
    assert cache.find(DIGEST) is None
    path = cache.get(DIGEST, len(DATA), fill)
    assert path == tmp_path / "new" / "cache" / "sha256" / NAME
    assert path.read_bytes() == DATA
    assert cache.get(DIGEST, len(DATA), never) == path == cache.find(DIGEST)
    assert [each.name for each in path.parent.iterdir()] == [NAME]


def test_what_is_there_is_not_believed(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    path = cache.get(DIGEST, len(DATA), fill)
    path.write_bytes(b"X" * len(DATA))
    assert cache.find(DIGEST) is None
    assert cache.get(DIGEST, len(DATA), fill).read_bytes() == DATA


def test_what_came_before_is_gone_on_with(tmp_path: Path) -> None:
    def broken(incoming: Incoming) -> None:
        incoming.append(DATA[:10])
        raise EnclaverError("the network is gone")

    cache = BlobCache(tmp_path)
    with pytest.raises(EnclaverError, match="the network is gone"):
        cache.get(DIGEST, len(DATA), broken)
    assert cache.find(DIGEST) is None
    had: list[int] = []

    def rest(incoming: Incoming) -> None:
        had.append(incoming.size)
        fill(incoming)

    assert cache.get(DIGEST, len(DATA), rest).read_bytes() == DATA
    assert had == [10]


def test_what_is_brought_has_to_be_whole(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    with pytest.raises(EnclaverError, match=f"the digest of what came is sha256:.*, not {DIGEST}"):
        cache.get(DIGEST, len(DATA), lambda incoming: incoming.append(b"x"))
    assert cache.find(DIGEST) is None


def test_several_at_once_share_one_transfer(tmp_path: Path) -> None:
    times: list[int] = []

    def slowly(incoming: Incoming) -> None:
        times.append(1)
        time.sleep(0.05)
        fill(incoming)

    found: list[bytes] = []

    def get() -> None:
        found.append(BlobCache(tmp_path).get(DIGEST, len(DATA), slowly).read_bytes())

    threads = [threading.Thread(target=get) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, times) == ([DATA] * 5, [1])
    assert [path.name for path in (tmp_path / "sha256").iterdir()] == [NAME]


KILLED = """
import sys, time
from pathlib import Path
from enclaver.system.blob_cache import BlobCache

def fill(incoming):
    incoming.append(b"some bytes" * 10)
    incoming._file.flush()
    print("half", flush=True)
    time.sleep(60)

BlobCache(Path(sys.argv[1])).get(sys.argv[2], 10000, fill)
"""


@pytest.mark.slow
def test_one_that_was_killed_is_in_nobody_s_way(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path, DIGEST], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "sha256" / f"{NAME}.part").stat().st_size == 100
    assert BlobCache(tmp_path).get(DIGEST, len(DATA), fill).read_bytes() == DATA


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = BlobCache(tmp_path / "file")
    with pytest.raises(EnclaverError, match=f"cannot store {DIGEST}: Not a directory\n  Make room, or name"):
        cache.get(DIGEST, len(DATA), fill)
    with pytest.raises(EnclaverError, match="Not a directory"):
        cache.find(DIGEST)
