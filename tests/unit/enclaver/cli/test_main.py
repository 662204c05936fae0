from __future__ import annotations

import pytest

from enclaver.cli import main as enclaver
from enclaver.core.version import VERSION


@pytest.mark.parametrize(
    "command", [[], ["validate"], ["describe"], ["run"], ["lock"], ["lock", "debian"], ["lock", "images"]]
)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        enclaver.main([*command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: enclaver")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such"],
        ["describe"],
        ["valid"],
        ["lock"],
        ["lock", "rpm"],
        ["describe", "x.eif", "--js"],
        ["run", "x.eif", "--memory-mb", "0"],
        ["run", "x.eif", "--memory-mb", "1e3"],
        ["run", "x.eif", "--memory-mb", "9" * 5000],
        ["run", "x.eif", "--cpu-count", "-1"],
        ["run", "x.eif", "--cpu-count", "\u0663"],
        ["run", "x.eif", "--boot-timeout", ""],
        ["run", "x.eif", "--machine", "q35"],
        ["run", "x.eif", "--publish", "80"],
        ["run", "x.eif", "-p", "host:80:80"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_wrong_arguments_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        enclaver.main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        enclaver.main(["--version"])
    assert capsys.readouterr().out == f"enclaver {VERSION}\n"
