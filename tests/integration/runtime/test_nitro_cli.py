"""What we ask of nitro-cli, against the real program's own parser; it makes no enclave without Nitro hardware."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest
import trio

from enclaver_runtime.parent import nitro
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.nitro_cli import NitroCli, logging_environment
from tests.integration.tools import require

pytestmark = pytest.mark.skipif(nitro.DEVICE.exists(), reason="this machine makes real enclaves")


@pytest.fixture
def cli(tmp_path: Path) -> NitroCli:
    return NitroCli(require("nitro-cli"), environment=logging_environment(tmp_path))


class Parsed(NitroCli):
    """Lets nitro-cli read the arguments of a launch, and stops it there by one that is no number."""

    async def _run(self, *arguments: str) -> CompletedProcess[bytes]:
        if arguments[0] == "describe-enclaves":
            return CompletedProcess(arguments, 0, b"[]", b"")
        return await super()._run(*("many" if word == "64" else word for word in arguments))


@pytest.mark.parametrize("debug", [False, True])
def test_the_arguments_of_a_launch_are_known(cli: NitroCli, tmp_path: Path, debug: bool) -> None:
    async def main() -> None:
        parsed = Parsed(cli.program, environment=cli.environment)
        await parsed.run_enclave(tmp_path / "x.eif", name="enclaver-x", memory_mb=64, cpus=2, debug=debug)

    # An option that it does not know would be told instead, before it looks at any value.
    with pytest.raises(ParentError, match=r"run-enclave failed: E03: .*`memory` is not a valid integer \(`many`\)"):
        trio.run(main)


def test_a_machine_without_nitro_is_told_so(cli: NitroCli, tmp_path: Path) -> None:
    async def main() -> None:
        await cli.run_enclave(tmp_path / "x.eif", name="enclaver-x", memory_mb=64, cpus=2, debug=False)

    with pytest.raises(ParentError, match="nitro-cli is not ready: E07: "):
        trio.run(main)


def test_a_console_and_an_end_are_asked_for_in_words_it_knows(cli: NitroCli) -> None:
    async def main() -> list[CompletedProcess[bytes]]:
        console = [str(word) for word in cli.console_command("i-0-enc1")[1:]]
        asked = (console, ["terminate-enclave", "--enclave-name", "enclaver-x"], ["describe-enclaves"])
        return [await cli._run(*words) for words in asked]

    for done in trio.run(main):
        assert b"[ E" in done.stderr, done.stderr
        assert b"unexpected argument" not in done.stderr
