"""Stand-ins for the emulator's two programs: scripts that are the vsock device, the guest behind it, and QEMU."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Makes the sockets, then plays a hybrid vsock and the guest behind it.
VHOST_DEVICE_VSOCK = """\
import socket, sys, threading, time
options = dict(pair.split("=") for pair in sys.argv[2].split(","))
host, vhost = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
vhost.bind(options["socket"]); vhost.listen()
host.bind(options["uds-path"]); host.listen()
qemu, _ = vhost.accept()
image = qemu.makefile().readline().strip()

def serve(connection):
    port = int(connection.makefile("rb", 0).readline().split()[1])
    lines = GUEST.get(port)
    if lines is None:
        return time.sleep(1000)
    connection.sendall(b"OK 1073741824\\n")
    for line in lines:
        if line == "beat":
            with socket.socket(socket.AF_UNIX) as beat:
                beat.connect(options["uds-path"] + "_9000")
                beat.sendall(b"\\xb7")
                line = beat.recv(10).hex() + "\\n"
        if line == "die":
            qemu.shutdown(socket.SHUT_RDWR)
        elif line == "wait":
            time.sleep(1000)
        else:
            connection.sendall(line.replace("IMAGE", image).encode())
    connection.close()

GUEST = {}
while True:
    threading.Thread(target=serve, args=host.accept()[:1], daemon=True).start()
"""

# Connects to the device, as QEMU does, tells it what it boots, and ends when the device hangs up.
QEMU = """\
import socket, sys
if sys.argv[1] == "--version":
    sys.exit(print("QEMU emulator version 10.0.13"))
if sys.argv[1:] == ["-M", "help"]:
    sys.exit(print("microvm x\\nnitro-enclave x"))
options = dict(zip(sys.argv[1:], sys.argv[2:]))
path = options["-chardev"].split("path=")[1]
if "broken" in options["-kernel"]:
    sys.exit("qemu: could not load kernel")
device = socket.socket(socket.AF_UNIX)
device.connect(path)
device.sendall(f'{options["-kernel"]} {options.get("-append")}\\n'.encode())
print("Booting", options["-kernel"], flush=True)
if "silent" not in options["-kernel"]:
    print("Run /init as init process", flush=True)
if "panics" in options["-kernel"]:
    print("Kernel panic - not syncing: no init", flush=True)
device.recv(1)
print("reboot: machine restart")
"""


def program(path: Path, source: str) -> Path:
    """Write a Python program that can be executed."""
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
    return path


def vhost_device_vsock(path: Path, guest: Mapping[int, Sequence[str]], *, source: str = VHOST_DEVICE_VSOCK) -> Path:
    """Write the device, with a guest that says these lines on its ports.

    ``beat`` sends a heartbeat and says what came back, ``die`` ends the machine, ``wait`` waits for ever.
    """
    return program(path, source.replace("GUEST = {}", f"GUEST = {dict(guest)!r}"))


def qemu(path: Path) -> Path:
    """Write the QEMU; an image whose name has ``broken``, ``panics`` or ``silent`` in it does what that says."""
    return program(path, QEMU)
