"""Do what clients of the ingress port say, one order a connection; asked to end, say so first.

Orders: ``exit CODE``, ``kill SIGNAL``, ``fill`` (the memory), ``write BYTES``, ``stubborn`` (ignore requests to end).
"""

from __future__ import annotations

import os
import signal
import socketserver
import threading
import time

PORT = 8000


class Order(socketserver.StreamRequestHandler):
    """One order, acknowledged when it is obeyed, or just before what nobody returns from."""

    def handle(self) -> None:
        name, _, value = self.rfile.readline().decode().strip().partition(" ")
        if name in DEADLY:
            self._answer()
            # The connection ends first: its last bytes must not depend on how long the app lives.
            threading.Thread(target=DEADLY[name], args=(value,)).start()
        else:
            ORDERS[name](value)
            self._answer()

    def _answer(self) -> None:
        self.wfile.write(b"yes\n")
        self.wfile.flush()


def leave(code: str) -> None:
    """Exit with a code, last words first."""
    print("last words", flush=True)
    os._exit(int(code))


def kill(number: str) -> None:
    """Be ended by a signal."""
    print("last words", flush=True)
    os.kill(os.getpid(), int(number))


def fill(_: str) -> None:
    """Take memory until there is none."""
    print("last words", flush=True)
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def write(size: str) -> None:
    """Write numbered lines of 16 bytes, as many bytes as asked for, as fast as this machine can."""
    written = 0
    while written < int(size):
        block = b"".join(b"%015d\n" % (written + place) for place in range(0, 1 << 16, 16))
        written += os.write(1, block)
    print(f"wrote {written} bytes", flush=True)


def stubborn(_: str) -> None:
    """Take requests to end as news."""
    STUBBORN.set()
    print("stubborn", flush=True)


DEADLY = {"exit": leave, "kill": kill, "fill": fill}
ORDERS = {"write": write, "stubborn": stubborn}
STUBBORN = threading.Event()


def asked_to_end(number: int, _: object) -> None:
    """Say which signal it was; take a moment, as an app does that has something to put in order."""
    print(f"got {signal.Signals(number).name}", flush=True)
    if not STUBBORN.is_set():
        time.sleep(0.5)
        print("in order", flush=True)
        os._exit(0)


def main() -> None:
    """Serve orders until one ends it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, asked_to_end)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", PORT), Order)
    print(f"listening, pid {os.getpid()}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
