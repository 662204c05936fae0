from __future__ import annotations

import argparse

import pytest

from enclaver.cli import registry_argument


def parse(*arguments: str) -> list[str]:
    parser = argparse.ArgumentParser()
    registry_argument.add(parser)
    found: list[str] = parser.parse_args(arguments).insecure_registry
    return found


def test_hosts_are_named_one_by_one() -> None:
    assert parse() == []
    assert parse("--insecure-registry", "a:5000", "--insecure-registry", "b.io") == ["a:5000", "b.io"]


@pytest.mark.parametrize("text", ["http://a:5000", "a.io/path", "a:99999", "team", ""])
def test_what_is_no_host_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--insecure-registry", text)
    assert f"{text!r} is no registry's host, such as registry.example.com:5000" in capsys.readouterr().err
