from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from enclaver.build import image_push
from enclaver.cli import push
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest

DIGEST = digest.parse("sha256:" + "0" * 64)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    push.configure(parser)
    return push.run(parser.parse_args(arguments))


def test_the_digest_is_all_that_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def pushed(archive: Path, names: Any, *, registries: object, progress: Any) -> digest.Digest:
        asked.append((archive, [str(name) for name in names]))
        progress("a line")
        return DIGEST

    monkeypatch.setattr(image_push, "push", pushed)
    assert run("x.image.tar", "app:1", "registry.example.com/app:2") == 0
    assert asked == [(Path("x.image.tar"), ["docker.io/library/app:1", "registry.example.com/app:2"])]
    assert capsys.readouterr() == (f"{DIGEST}\n", "a line\n")


def test_what_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclaverError, match="is not a Docker reference"):
        run("x.image.tar", "UPPER:1")


def test_what_is_no_archive_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no archive")
    with pytest.raises(EnclaverError, match=r"x\.tar"):
        run(str(tmp_path / "x.tar"), "127.0.0.1:1/app:1")
