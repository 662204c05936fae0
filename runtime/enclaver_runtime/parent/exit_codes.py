"""The exit code of ``enclaver run``: Enclaver's own, so that scripts around it keep working."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass

from enclaver_runtime.protocol.status import Exited, Fatal, Running, Signaled, Status

#: The app was ended by a signal.
SIGNALED = 107
#: The app could not be started, or the runtime in the enclave broke down.
FATAL = 108
#: The runner was asked to end (SIGINT, SIGTERM, SIGHUP) and ended the enclave.
INTERRUPTED = 109


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the runner's exit code, and one sentence for people."""

    exit_code: int
    reason: str


def outcome(status: Status) -> Outcome:
    """Turn the final ``status`` of an app into what the runner does.

    Raises:
        ValueError: ``status`` is not final.
    """
    match status:
        case Exited(code):
            return Outcome(code, f"the app exited with code {code}")
        case Signaled(number):
            return Outcome(SIGNALED, f"the app was ended by {_signal_name(number)}")
        case Fatal(error):
            return Outcome(FATAL, f"the enclave failed: {error}")
        case Running():
            raise ValueError("a running app has no exit code")


def interrupted(number: int, status: Status | None = None) -> Outcome:
    """What the runner does after it got signal ``number`` itself; ``status`` is how the app ended, if that is known."""
    reason = f"interrupted by {_signal_name(number)}"
    return Outcome(INTERRUPTED, reason if status is None else f"{reason}; {outcome(status).reason}")


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signals.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
