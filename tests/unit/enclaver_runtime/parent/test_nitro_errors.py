from __future__ import annotations

import pytest

from enclaver_runtime.parent.nitro_errors import SCARCE, explain

# As nitro-cli 1.5.2 writes it: the enclave's process first, then the command that waited for it.
TOO_SMALL = """\
[ E26 ] Insufficient memory requested. User provided `memory` is 64 MB, but based on the EIF file size, the minimum \
memory should be 436 MB

For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E26

If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/err2026.log"
Failed connections: 1
[ E39 ] Enclave process connection failure. Such error appears when the enclave manager fails to connect.

For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E39
"""


def test_the_first_message_is_the_cause_and_has_a_cure() -> None:
    code, sentence, cure = explain(TOO_SMALL)
    assert code == "E26"
    assert sentence.startswith("E26: Insufficient memory requested.")
    assert sentence.endswith("436 MB")
    assert "--memory-mb" in cure


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("E19", "driver"),
        ("E22", "--cpu-count"),
        ("E27", "allocator.yaml"),
        ("E32", "whole cores"),
        ("E36", "--debug-mode"),
        ("E56", "NITRO_CLI_LOGS_PATH"),
        ("E59", "sign the image again"),
        ("E51", ""),
    ],
)
def test_what_a_user_can_mend_is_said(code: str, cure: str) -> None:
    found, sentence, said = explain(f"[ {code} ] Some words.\nSome more.")
    assert (found, sentence) == (code, f"{code}: Some words. Some more.")
    assert cure in said
    assert bool(cure) == bool(said)


def test_messages_without_a_blank_line_between_them() -> None:
    assert explain("[ E36 ] One.\n[ E39 ] Two.")[:2] == ("E36", "E36: One.")


def test_what_other_enclaves_may_hold_is_memory_and_processors() -> None:
    assert all("allocator.yaml" in explain(f"[ {code} ] x")[2] for code in SCARCE - {"E32"})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("", ""),
        ("error: unexpected argument '--x' found\n\nUsage: y\n", "error: unexpected argument '--x' found Usage: y"),
    ],
)
def test_anything_else_is_told_as_it_is(said: str, sentence: str) -> None:
    assert explain(said) == ("", sentence, "")
