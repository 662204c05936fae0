from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from trio.testing import trio_test

from enclaver_runtime.parent import nitro_cli
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.nitro_cli import Enclave, NitroCli
from tests.unit.enclaver_runtime.parent.nitro_stand_in import StandIn

# Every one of these starts a Python or two.
pytestmark = pytest.mark.slow


def cli(stand_in: StandIn, tmp_path: Path) -> NitroCli:
    return NitroCli(stand_in.program, environment=nitro_cli.logging_environment(tmp_path))


async def run(one: NitroCli, *, debug: bool = False) -> Enclave:
    return await one.run_enclave(Path("x.eif"), name="mine", memory_mb=512, cpus=2, debug=debug)


@pytest.mark.parametrize("debug", [False, True])
@trio_test
async def test_an_enclave_is_made_described_and_ended(tmp_path: Path, debug: bool) -> None:
    stand_in = StandIn(tmp_path)
    one = cli(stand_in, tmp_path)
    made = await run(one, debug=debug)
    assert (made.name, made.id, made.cid) == ("mine", "i-abc12345def67890a-enc9876abcd543210ef12", 10)
    assert str(made) == "mine (2 processors, 512 MiB)"
    assert await one.enclaves() == [made]
    await one.terminate("mine")
    assert await one.enclaves() == []
    image = str(Path("x.eif").absolute())
    options = ["--eif-path", image, "--enclave-name", "mine", "--memory", "512", "--cpu-count", "2"]
    assert stand_in.calls[0] == ["describe-enclaves"]
    assert stand_in.calls[1] == ["run-enclave", *options, *(["--debug-mode"] if debug else [])]


@trio_test
async def test_an_enclave_that_is_gone_needs_no_ending(tmp_path: Path) -> None:
    await cli(StandIn(tmp_path), tmp_path).terminate("nobody")


@trio_test
async def test_an_enclave_that_cannot_be_ended_is_told_with_what_to_do(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, terminate_enclave=[("E39", "Enclave process connection failure.")])
    one = cli(stand_in, tmp_path)
    stand_in.add("mine", 2, 512)
    with pytest.raises(ParentError, match=r"E39: .*terminate-enclave --enclave-name mine"):
        await one.terminate("mine")


@trio_test
async def test_a_failure_is_told_with_its_cause_its_cure_and_who_holds_what_it_needs(tmp_path: Path) -> None:
    why = "Insufficient CPUs available in the pool. User provided `cpu-count` is 2, which is more."
    stand_in = StandIn(tmp_path, run_enclave=["Start allocating memory...", ("E22", why)])
    stand_in.add("theirs", 4, 2048)
    with pytest.raises(ParentError) as caught:
        await run(cli(stand_in, tmp_path))
    assert "run-enclave failed: E22: Insufficient CPUs" in str(caught.value)
    assert "enclaves that run now: theirs (4 processors, 2048 MiB)" in str(caught.value)
    assert "--cpu-count" in caught.value.cure


@trio_test
async def test_nobody_is_blamed_for_what_is_not_scarce(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, run_enclave=[("E26", "Insufficient memory requested.")])
    stand_in.add("theirs", 4, 2048)
    with pytest.raises(ParentError, match=r"E26: Insufficient memory requested\. \(give it more"):
        await run(cli(stand_in, tmp_path))


@trio_test
async def test_enclaves_that_cannot_be_described_are_none(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, describe_enclaves=[("E07", "Read from disk failure.")])
    stand_in.add("theirs", 4, 2048)
    assert await cli(stand_in, tmp_path).enclaves() == []


@trio_test
async def test_where_nitro_cli_is_not_set_up_nothing_is_tried(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, describe_enclaves=[("E07", "Read from disk failure.")])
    with pytest.raises(ParentError, match=r"not ready: E07: Read from disk failure\. \(`systemctl start"):
        await run(cli(stand_in, tmp_path))
    assert stand_in.calls == [["describe-enclaves"]]


@pytest.mark.parametrize("said", ["", "{", "{}", "[1]", '{"EnclaveID": 1, "ProcessID": "x"}'])
@trio_test
async def test_another_programs_words_are_refused(tmp_path: Path, said: str) -> None:
    program = tmp_path / "nitro-cli"
    program.write_text(f'#!/bin/sh\n[ "$1" = describe-enclaves ] && exit\ncat <<END\n{said}\nEND\n')
    program.chmod(0o755)
    with pytest.raises(ParentError, match=r"nitro-cli (wrote what is no JSON|describes an enclave)"):
        await run(NitroCli(program, environment=os.environ))


@trio_test
async def test_what_is_said_before_the_json_is_for_people(tmp_path: Path) -> None:
    numbers = '"ProcessID": 1, "EnclaveCID": 16, "NumberOfCPUs": 2, "MemoryMiB": 9'
    described = f'{{"EnclaveName": "mine", "EnclaveID": "i-1", {numbers}}}'
    program = tmp_path / "nitro-cli"
    program.write_text(
        "#!/bin/sh\necho '[ W01 ] the file {x} is old, cpu-ids: [1, 3]'\n"
        f"[ \"$1\" = describe-enclaves ] && printf '[\\n%s\\n]\\n' '{described}' && exit\necho '{described}'\n"
    )
    program.chmod(0o755)
    one = NitroCli(program, environment=os.environ)
    assert await one.enclaves() == [await run(one)]


def test_the_program_is_found_or_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = StandIn(tmp_path).program
    assert nitro_cli.find(program) == program
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nitro_cli.find() == program
    monkeypatch.setenv("PATH", str(tmp_path / "enclaves"))
    with pytest.raises(ParentError, match=r"nitro-cli was not found \(install"):
        nitro_cli.find()
    with pytest.raises(ParentError, match="nothing was not found"):
        nitro_cli.find(tmp_path / "nothing")


def test_the_log_goes_where_it_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"NITRO_CLI_LOGS_PATH": "/x"}
    assert nitro_cli.logging_environment(tmp_path, chosen) == chosen
    # nitro-cli is run in another folder.
    monkeypatch.chdir(tmp_path)
    relative = nitro_cli.logging_environment(tmp_path, {"NITRO_CLI_LOGS_PATH": "logs"})
    assert relative == {"NITRO_CLI_LOGS_PATH": str(tmp_path / "logs")}
    monkeypatch.setattr(nitro_cli, "_DEFAULT_LOGS", tmp_path)
    assert nitro_cli.logging_environment(tmp_path / "mine", {}) == {}
    monkeypatch.setattr(nitro_cli, "_DEFAULT_LOGS", tmp_path / "missing")
    assert nitro_cli.logging_environment(tmp_path, {"A": "b"}) == {"A": "b", "NITRO_CLI_LOGS_PATH": str(tmp_path)}


def test_who_is_left_alone_ends_the_enclave_and_its_own_folder(tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path)
    stand_in.add("mine", 2, 512)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    holder = subprocess.Popen(["sleep", "1000"])
    described: dict[str, Any] = {**stand_in.enclaves[0], "ProcessID": holder.pid}
    (tmp_path / "enclaves" / "mine.json").write_text(re.sub("'", '"', str(described)))
    one = NitroCli(stand_in.program, environment={})
    environment = {**os.environ, "TMPDIR": str(temporary)}
    subprocess.run([*one.termination("mine")], check=True, env=environment, stdout=subprocess.DEVNULL)
    assert holder.wait() == -9
    assert (stand_in.enclaves, list(temporary.iterdir())) == ([], [])
