"""One transfer: resumed, bounded, and with a reason for every way in which it can fail."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from enclaver.system import download
from enclaver.system.download import TransferError
from tests.loopback_mirror import Mirror, serve

DATA = bytes(range(256)) * 40
TIMEOUT = 0.2


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with serve(monkeypatch) as found:
        yield found


def fetch(url: str, have: bytes = b"", size: int | None = len(DATA), limit: int = 1 << 20) -> bytes:
    out = io.BytesIO(have)
    out.seek(0, io.SEEK_END)
    download.fetch(url, out, have=len(have), size=size, limit=limit, timeout=TIMEOUT)
    return out.getvalue()


@pytest.fixture
def url(mirror: Mirror) -> str:
    mirror.files["/x"] = DATA
    return f"{mirror.root}/x"


def test_a_whole_file(url: str) -> None:
    assert fetch(url) == DATA
    assert download.read(url, limit=1 << 20, timeout=TIMEOUT) == DATA
    assert download.read(url, size=len(DATA), limit=1 << 20, timeout=TIMEOUT) == DATA


def test_a_transfer_is_resumed(mirror: Mirror, url: str) -> None:
    assert fetch(url, DATA[:100]) == DATA
    assert mirror.requests == [("/x", "bytes=100-")]


def test_a_server_that_cannot_resume_starts_again(mirror: Mirror, url: str) -> None:
    mirror.faults["/x"] = ["no-range"]
    assert fetch(url, b"wrong beginning") == DATA


def test_another_range_than_asked_for_is_refused(mirror: Mirror, url: str) -> None:
    mirror.faults["/x"] = ["wrong-range"]
    with pytest.raises(TransferError, match="another part of the file"):
        fetch(url, DATA[:100])


def test_a_beginning_that_is_too_long_starts_again(mirror: Mirror, url: str) -> None:
    out = io.BytesIO(DATA + b"more")
    with pytest.raises(TransferError) as error:
        download.fetch(url, out, have=len(DATA) + 4, size=None, limit=1 << 20, timeout=TIMEOUT)
    assert error.value.again
    assert out.getvalue() == b""


def test_a_cut_transfer_keeps_what_came_and_is_worth_another_try(mirror: Mirror, url: str) -> None:
    mirror.faults["/x"] = ["cut"]
    out = io.BytesIO()
    with pytest.raises(TransferError) as error:
        download.fetch(url, out, have=0, size=len(DATA), limit=1 << 20, timeout=TIMEOUT)
    assert error.value.again
    assert out.getvalue() == DATA[: len(DATA) // 2]


@pytest.mark.slow
def test_a_stalled_transfer_ends_by_itself(mirror: Mirror, url: str) -> None:
    mirror.faults["/x"] = ["stall"]
    with pytest.raises(TransferError, match=r"it stalled for 0\.2 s") as error:
        fetch(url)
    assert error.value.again


def test_more_than_expected_is_not_taken(mirror: Mirror, url: str) -> None:
    mirror.faults["/x"] = ["more"]
    with pytest.raises(TransferError, match=f"it serves more than {len(DATA)} bytes"):
        fetch(url)
    with pytest.raises(TransferError, match="it serves more than 10 bytes"):
        fetch(url, size=None, limit=10)


@pytest.mark.parametrize(("status", "again"), [("404", False), ("403", False), ("503", True), ("429", True)])
def test_a_status_is_the_reason(mirror: Mirror, url: str, status: str, again: bool) -> None:
    mirror.faults["/x"] = [status]
    with pytest.raises(TransferError, match=f"HTTP {status} ") as error:
        fetch(url)
    assert error.value.again is again


def test_redirects_are_followed_to_http_only(mirror: Mirror, url: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    mirror.files["/moved"] = b"/x"
    mirror.files["/local"] = f"file://{tmp_path}/secret".encode()
    mirror.faults = {"/moved": ["302"], "/local": ["302"]}
    assert fetch(f"{mirror.root}/moved") == DATA
    with pytest.raises(TransferError):
        fetch(f"{mirror.root}/local")


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TransferError, match="Connection refused") as error:
            fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/x")
    assert error.value.again


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(TransferError) as error:
        fetch("http://nowhere.invalid/x")
    assert error.value.again


@pytest.mark.slow
def test_nobody_who_answers() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(TransferError, match=r"stalled|no connection within"):
            fetch(f"http://127.0.0.1:{mute.getsockname()[1]}/x")


class Attempts:
    """A transfer that fails so many times, and the pauses that were spent on it."""

    def __init__(self, failures: int, *, again: bool = True, stop: bool = False) -> None:
        self.made = 0
        self.waited: list[float] = []
        self._failures, self._again, self._stop = failures, again, stop

    def transfer(self) -> None:
        self.made += 1
        if self.made <= self._failures:
            raise TransferError(f"failure {self.made}", again=self._again)

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return self._stop


def test_a_passing_failure_is_tried_again_after_each_pause() -> None:
    attempts = Attempts(2)
    download.persist(attempts.transfer, pauses=(1.0, 2.0), wait=attempts.wait)
    assert (attempts.made, attempts.waited) == (3, [1.0, 2.0])


def test_the_last_failure_is_the_one_that_is_told() -> None:
    attempts = Attempts(9)
    with pytest.raises(TransferError, match="failure 3"):
        download.persist(attempts.transfer, pauses=(1.0, 2.0), wait=attempts.wait)
    assert attempts.waited == [1.0, 2.0]


def test_a_lasting_failure_is_not_tried_again() -> None:
    attempts = Attempts(1, again=False)
    with pytest.raises(TransferError, match="failure 1"):
        download.persist(attempts.transfer, wait=attempts.wait)
    assert attempts.waited == []


def test_a_pause_that_is_ended_ends_the_tries() -> None:
    attempts = Attempts(1, stop=True)
    with pytest.raises(TransferError, match="failure 1"):
        download.persist(attempts.transfer, wait=attempts.wait)
    assert attempts.made == 1


def test_what_is_no_http_is_refused() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TransferError):
            fetch(f"http://127.0.0.1:{port}/x")
        thread.join()


def test_other_schemes_are_refused() -> None:
    with pytest.raises(TransferError):
        fetch("data:,hello")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(DATA)
    url = f"file://{tmp_path}/a%20file"
    assert fetch(url) == DATA
    assert fetch(url, DATA[:7]) == DATA
    with pytest.raises(TransferError, match="No such file or directory"):
        fetch(f"file://{tmp_path}/gone")
    with pytest.raises(TransferError, match="it ended after"):
        fetch(url, size=len(DATA) + 1)


def test_a_transfer_can_be_stopped(url: str) -> None:
    with pytest.raises(TransferError, match="it was stopped"):
        download.fetch(url, io.BytesIO(), have=0, size=len(DATA), limit=1 << 20, timeout=TIMEOUT, stop=lambda: True)
