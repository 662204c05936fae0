"""The ``enclaver`` command of target images: what a container needs of it, as the container's first process."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from enclaver_runtime.parent import exit_codes


def start() -> NoReturn:
    """Run the command with the process's arguments, and exit."""
    # Linux drops a signal that a container's first process has no handler for, and `docker stop` would wait in vain.
    # So there is one before anything that takes time; `run` has its own later.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _run()
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    sys.exit(code)


def _run() -> int:
    # To load them takes most of the time until the enclave is started.
    from enclaver.cli import command, describe, run

    parser, commands = command.top("Runs the enclave image that this container image is for.")
    for module in (run, describe):
        command.add(commands, module)
    return command.execute(parser)
