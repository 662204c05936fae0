"""The real machine, as the boot finds it: a kernel, two ramdisks, nothing mounted, no network."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable

from enclaver_runtime import config as configuration
from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave import entropy, filesystems, network
from enclaver_runtime.enclave.boot import Machine
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.enclave.providers import providers
from enclaver_runtime.transport import nsm_device, syscalls, vsock

#: The app's root, from the app's ramdisk.
ROOT = "/rootfs"

#: The security module's driver, there when the kernel does not have it built in.
NSM_MODULE = "/usr/lib/enclaver/nsm.ko"

HOSTNAME = "enclave"

#: Open files of PID 1 and of the app; the kernel's 1024 are few for a server and its relays.
_OPEN_FILES = 65536


def machine(console: Console) -> Machine:
    """The machine that PID 1 boots; its services say on ``console`` what they refuse."""
    return Machine(
        listen=vsock.listen,
        connect=vsock.connect,
        prepare=prepare,
        read_config=_read_config,
        root=ROOT,
        providers=providers(listen=vsock.listen, connect=vsock.connect, say=console.say),
    )


def prepare(console: Console) -> None:
    """Set the machine up, step by step; each says when it was done.

    Raises:
        OSError, RootError: a step failed.
    """
    for name, step in _STEPS:
        for line in step():
            console.say(line)
        console.say(name)


def _mounts() -> list[str]:
    return filesystems.mount_all(filesystems.BASE)


def _system() -> list[str]:
    network.bring_up()
    network.open_low_ports()
    socket.sethostname(HOSTNAME)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    return []


def _security_module() -> list[str]:
    if not os.path.exists(nsm_device.PATH) and os.path.exists(NSM_MODULE):
        syscalls.load_module(NSM_MODULE)
    if not os.path.exists(nsm_device.PATH):
        return ["no security module: this enclave cannot prove what it is"]
    # Loaded only here, since the module's CBOR takes its time.
    from enclaver_runtime.enclave.nsm import Nsm, measurement_lines

    with nsm_device.NsmDevice() as device:
        nsm = Nsm(device.request)
        entropy.credit(nsm.random())
        return measurement_lines(nsm)


def _app_root() -> list[str]:
    return filesystems.prepare_root(ROOT)


def _read_config() -> bytes:
    try:
        with open(configuration.PATH, "rb") as file:
            return file.read(configuration.MAX_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{configuration.PATH} cannot be read: {error.strerror}") from error


_STEPS: tuple[tuple[str, Callable[[], list[str]]], ...] = (
    ("mounts", _mounts),
    ("network", _system),
    ("security module", _security_module),
    ("app root", _app_root),
)
