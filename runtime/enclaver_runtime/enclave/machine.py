"""The real machine, as the boot finds it: a kernel, two ramdisks, no network, mounted what another init has mounted."""

from __future__ import annotations

import functools
import os
import resource
import socket
from collections.abc import Callable

from enclaver_runtime import config as configuration
from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave import entropy, filesystems, kernel_log, network, place
from enclaver_runtime.enclave.boot import Machine
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.enclave.development_nsm import NOTICE, parent_module
from enclaver_runtime.enclave.parent_link import ParentLink
from enclaver_runtime.enclave.providers import providers
from enclaver_runtime.enclave.security_module import SecurityModule, device_module
from enclaver_runtime.protocol import development_nsm
from enclaver_runtime.transport import nsm_device, syscalls, vsock

#: The app's root, from the app's ramdisk.
ROOT = "/rootfs"

#: The security module's driver, there when the kernel does not have it built in.
NSM_MODULE = "/usr/lib/enclaver/nsm.ko"

#: The kernel's command line; measured in PCR0 and PCR1.
COMMAND_LINE = "/proc/cmdline"

HOSTNAME = "enclave"

#: Open files of PID 1 and of the app; the kernel's 1024 are few for a server and its relays.
_OPEN_FILES = 65536


def machine(console: Console) -> Machine:
    """The machine that this process boots; its services say on ``console`` what they refuse."""
    return Machine(
        listen=vsock.listen,
        connect=vsock.connect if place.here().sends_heartbeat else None,
        prepare=prepare,
        read_config=_read_config,
        root=ROOT,
        out_of_memory=kernel_log.out_of_memory,
        providers=lambda log: providers(
            listen=vsock.listen,
            connect=vsock.connect,
            begin=vsock.begin,
            say=console.say,
            log=log,
            security_module=functools.cache(security_module),
            root=ROOT,
        ),
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


def security_module() -> SecurityModule:
    """The module that services ask for documents: the machine's own, or the one that its command line asks for.

    The command line wins, since the emulator's own module signs nothing. It is measured in PCR0 and PCR1, and what
    the parent signs chains to no root of AWS's: on Nitro, such an enclave has other registers than the one that is
    trusted, and documents that nobody accepts.

    Raises:
        OSError: /proc is not mounted.
    """
    if development_nsm.is_wanted(_command_line()):
        return parent_module(ParentLink(vsock.connect))
    return device_module()


def _command_line() -> str:
    with open(COMMAND_LINE, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _mounts() -> list[str]:
    # Another init's mounts are taken as they are: /proc can't be mounted twice, and a second /tmp would hide the first.
    missing = [mount for mount in filesystems.BASE if not os.path.ismount(f"/{mount.target}")]
    return filesystems.mount_all(missing) + place.here().settle()


def _system() -> list[str]:
    network.bring_up()
    network.open_low_ports()
    socket.sethostname(HOSTNAME)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    return []


def _security_module() -> list[str]:
    if not os.path.exists(nsm_device.PATH) and os.path.exists(NSM_MODULE):
        syscalls.load_module(NSM_MODULE)
    notices = [NOTICE] if development_nsm.is_wanted(_command_line()) else []
    if not os.path.exists(nsm_device.PATH):
        return notices or ["no security module: this enclave cannot prove what it is"]
    # Loaded only here, since the module's CBOR takes its time.
    from enclaver_runtime.enclave.nsm import Nsm, measurement_lines

    with nsm_device.NsmDevice() as device:
        nsm = Nsm(device.request)
        entropy.credit(nsm.random())
        return measurement_lines(nsm) + notices


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
