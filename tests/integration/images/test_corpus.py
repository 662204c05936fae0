"""Hostile and odd images: each is refused with its own message or unpacked exactly, and none writes outside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError
from enclaver.core.oci import image
from tests.integration.images import corpus
from tests.integration.images.corpus import Files, Outcome
from tests.unit.enclaver.core.oci.archives import archived, listed, parts

_FORMS = ("", "+gzip", "+zstd", "docker save")


def cases() -> Iterator[tuple[str, Files, Outcome]]:
    """All images, those that are layers in one form after the other."""
    for number, (name, layers, outcome) in enumerate(corpus.layers()):
        form = _FORMS[number % len(_FORMS)]
        one = parts(*layers, how="" if form == "docker save" else form)
        yield f"{name} ({form or 'plain'})", one.docker_save() if form == "docker save" else one.files(), outcome
    yield from corpus.images()


CASES = list(cases())


def test_there_are_as_many_as_were_promised() -> None:
    assert len(CASES) >= 200
    assert len({name for name, _, _ in CASES}) == len(CASES)


def everything(place: Path) -> set[str]:
    """All names below a folder."""
    return {str(path.relative_to(place)) for path in place.rglob("*")}


@pytest.mark.parametrize(("files", "outcome"), [case[1:] for case in CASES], ids=[ascii(case[0]) for case in CASES])
def test_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files, outcome: Outcome) -> None:
    work, here = tmp_path / "in" / "work", tmp_path / "here"
    work.mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    path = tmp_path / "in" / "image.tar"
    path.write_bytes(files if isinstance(files, bytes) else archived(files))
    before = everything(tmp_path)
    if isinstance(outcome, Mapping):
        assert listed(image.read(path, work, architecture="x86_64").tree) == outcome
    else:
        with pytest.raises(EnclaverError) as caught:
            image.read(path, work, architecture="x86_64")
        message = str(caught.value)
        assert re.search(outcome, message)
        assert message.startswith(str(path))
        assert message.isprintable() or "\n  " in message
    # Nothing but what the reader itself unpacks to, under its own names.
    new = everything(tmp_path) - before
    assert {name for name in new if not re.fullmatch(r"in/work/(archive|layer-\d+)", name)} == set()
    assert not os.path.lexists(corpus.OUTSIDE)
