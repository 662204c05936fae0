from __future__ import annotations

import re
from pathlib import Path
from typing import Self

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.system import daemon_loan
from enclaver.system.daemon import DaemonError


class Fake:
    """A daemon with one image; ``refusals`` are how often it has none when it is to be named."""

    host = "unix:///there"

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.gone = False
        self.calls: list[tuple[str, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(("closed",))

    def load(self, path: Path) -> tuple[str, ...]:
        self.calls.append(("load", str(path)))
        return ("sha256:1",)

    def tag(self, image: str, name: str, tag: str) -> None:
        self.calls.append(("tag", image, tag))
        if self.refusals:
            self.refusals -= 1
            raise DaemonError("no such image")

    def discard(self, name: str) -> None:
        self.calls.append(("discard", name))
        if self.gone:
            raise DaemonError("there is no docker daemon")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(daemon_loan, "Daemon", lambda: made)
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    monkeypatch.setenv("OTHER", "kept")
    return made


LOADED = [("load", "x.tar"), ("tag", "sha256:1", "latest")]


def test_an_image_is_lent_under_a_name_of_its_own(fake: Fake) -> None:
    with daemon_loan.lent(Path("x.tar")) as first:
        assert re.fullmatch("enclaver-build-[0-9a-f]{16}:latest", first.name)
        assert (first.environment["DOCKER_HOST"], first.environment["OTHER"]) == ("unix:///there", "kept")
    assert fake.calls == [*LOADED, ("discard", first.name), ("closed",)]
    with daemon_loan.lent(Path("x.tar")) as second:
        assert second.name != first.name


def test_it_is_given_back_whatever_happens(fake: Fake) -> None:
    with pytest.raises(KeyboardInterrupt), daemon_loan.lent(Path("x.tar")):
        raise KeyboardInterrupt
    assert [call[0] for call in fake.calls] == ["load", "tag", "discard", "closed"]


def test_a_daemon_that_is_gone_hides_no_other_error(fake: Fake) -> None:
    fake.gone = True
    with pytest.raises(EnclaverError, match="nitro-cli failed"), daemon_loan.lent(Path("x.tar")):
        raise EnclaverError("nitro-cli failed")
    with pytest.raises(DaemonError, match="there is no docker daemon"), daemon_loan.lent(Path("x.tar")):
        pass


def test_one_that_somebody_takes_away_meanwhile_is_loaded_again(fake: Fake) -> None:
    fake.refusals = 2
    with daemon_loan.lent(Path("x.tar")):
        pass
    assert fake.calls[:6] == LOADED * 3


def test_one_that_is_taken_away_again_and_again(fake: Fake) -> None:
    fake.refusals = 3
    with pytest.raises(DaemonError, match="no such image"), daemon_loan.lent(Path("x.tar")):
        pass
    assert [call[0] for call in fake.calls] == ["load", "tag"] * 3 + ["discard", "closed"]
