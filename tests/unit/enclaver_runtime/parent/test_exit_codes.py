from __future__ import annotations

import pytest

from enclaver_runtime.parent.exit_codes import Outcome, interrupted, outcome
from enclaver_runtime.protocol.status import Exited, Fatal, Running, Signaled, Status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Exited(0), Outcome(0, "the app exited with code 0")),
        (Exited(255), Outcome(255, "the app exited with code 255")),
        (Signaled(9), Outcome(107, "the app was ended by signal 9 (SIGKILL)")),
        (Signaled(64), Outcome(107, "the app was ended by signal 64 (SIGRTMAX)")),
        (Signaled(33), Outcome(107, "the app was ended by signal 33")),
        (Fatal('no "app"\n'), Outcome(108, 'the enclave failed: no "app"\n')),
    ],
)
def test_every_final_status_has_its_code(status: Status, expected: Outcome) -> None:
    assert outcome(status) == expected


def test_a_running_app_has_none() -> None:
    with pytest.raises(ValueError, match="running"):
        outcome(Running())


def test_interrupted() -> None:
    assert interrupted(15) == Outcome(109, "interrupted by signal 15 (SIGTERM)")
    reason = "interrupted by signal 2 (SIGINT); the app exited with code 7"
    assert interrupted(2, Exited(7)) == Outcome(109, reason)
