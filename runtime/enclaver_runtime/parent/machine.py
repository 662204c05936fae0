"""Which QEMU there is, what it can do, and the command lines that boot an enclave image in it.

Two machines are used. ``nitro-enclave`` (QEMU 9.2 and newer, where it was built with libcbor) reads an EIF
as Nitro's hypervisor does: it checks the CRC, measures the sections and serves ``/dev/nsm``. ``microvm``
boots the EIF's kernel, command line and ramdisks, without an NSM. Both run interpreted (TCG), which works on
any machine. Source: QEMU's docs/system/i386/nitro-enclave.rst and microvm.rst.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import trio

from enclaver_runtime.parent.errors import ParentError

#: The guest's context id; the host is 2 for it, as everywhere but on Nitro.
GUEST_CID = 16

_QEMU = "qemu-system-x86_64"
_VHOST = "vhost-device-vsock"
# A ROM that only a QEMU with its own data folder has beside it; a system's QEMU knows where its data is.
_FIRMWARE = "bios-microvm.bin"
# What the guest may have on the way to vhost-device-vsock, in bytes. Its default of 64 KiB lets Linux 6.12.117 send
# packets of more than 32 KiB, which it scatters over several descriptors, and vhost-device-vsock 0.3 loses those. A
# power of two, since the device's ring buffer counts modulo 2^32.
_DEVICE_BUFFER = 16 * 1024


class Machine(Enum):
    """QEMU's machine types, as ``-M`` names them."""

    NITRO_ENCLAVE = "nitro-enclave"
    MICROVM = "microvm"


@dataclass(frozen=True, slots=True)
class BootParts:
    """What is in an EIF, as files: the kernel, its command line, and all ramdisks in one file, in order."""

    kernel: Path
    command_line: str
    ramdisk: Path


@dataclass(frozen=True, slots=True)
class EnclaveImage:
    """An enclave image to boot.

    ``extract`` writes the image's parts into the folder it is given; it is called (in a thread) only for a
    machine that cannot read the EIF itself, and may raise what it likes, which propagates.
    """

    eif: Path
    extract: Callable[[Path], BootParts]


@dataclass(frozen=True, slots=True)
class Qemu:
    """A QEMU that was found, and what it said about itself."""

    path: Path
    version: tuple[int, int]
    machine: Machine
    data: Path | None

    def __str__(self) -> str:
        return f"QEMU {self.version[0]}.{self.version[1]} ({self.path}), machine {self.machine.value}"


def tool_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that build-support/ci-tools fills: ENCLAVER_TOOLS, else one in the user's cache folder."""
    if chosen := environment.get("ENCLAVER_TOOLS"):
        return Path(chosen)
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/root")) / ".cache"
    return Path(cache) / "enclaver-tools"


def find_qemu(chosen: Path | None = None) -> Path:
    """The QEMU to use: ``chosen``, else the tool folder's, else the one on PATH.

    Raises:
        ParentError: there is none, or the chosen one is no program.
    """
    cure = "apt-get install qemu-system-x86, or build-support/ci-tools qemu"
    # Whoever has Nitro hardware and a container without its device gets here too.
    return _find(_QEMU, chosen, cure=f"{cure}; on Nitro in a container: docker run --device /dev/nitro_enclaves")


def find_vhost_device_vsock(chosen: Path | None = None) -> Path:
    """The vhost-device-vsock to use, found in the same order.

    Raises:
        ParentError: there is none, or the chosen one is no program.
    """
    return _find(_VHOST, chosen, cure=f"cargo install --locked {_VHOST}, or build-support/ci-tools {_VHOST}")


async def inspect(path: Path, *, machine: Machine | None = None) -> Qemu:
    """Ask the QEMU at ``path`` for its version and machines; ``machine`` asks for one of them.

    Raises:
        ParentError: it does not run, or lacks the machine asked for, or has neither.
    """
    found = re.search(r"version (\d+)\.(\d+)", await _ask(path, "--version"))
    if found is None:
        raise ParentError(f"{path} does not say which version of QEMU it is")
    machines = await _ask(path, "-M", "help")
    names = {line.split()[0] for line in machines.splitlines() if line.strip()}
    usable = [one for one in Machine if one.value in names and machine in (None, one)]
    if not usable:
        wanted = machine.value if machine else " or ".join(one.value for one in Machine)
        raise ParentError(f"{path} has no machine {wanted}", cure="build-support/ci-tools qemu builds one that has")
    data = path.resolve().parent.parent / "share" / "qemu"
    return Qemu(
        path=path,
        version=(int(found[1]), int(found[2])),
        machine=usable[0],
        data=data if (data / _FIRMWARE).exists() else None,
    )


def vhost_command(program: Path, *, uds: Path, vhost_socket: Path) -> list[str | Path]:
    """The command line of the vsock device: it serves ``uds`` to us and ``vhost_socket`` to QEMU."""
    options = f"guest-cid={GUEST_CID},uds-path={uds},socket={vhost_socket},tx-buffer-size={_DEVICE_BUFFER}"
    return [program, "--vm", options]


def nitro_command(qemu: Qemu, *, eif: Path, vhost_socket: Path, memory_mb: int, cpus: int) -> list[str | Path]:
    """The command line that boots ``eif`` as a Nitro enclave; its serial console is QEMU's output."""
    return [
        *_common(qemu, memory_mb=memory_mb, cpus=cpus, vhost_socket=vhost_socket),
        *("-M", "nitro-enclave,vsock=vsock,id=enclaver", "-cpu", "max", "-kernel", eif),
    ]


def microvm_command(qemu: Qemu, *, parts: BootParts, vhost_socket: Path, memory_mb: int, cpus: int) -> list[str | Path]:
    """The command line that boots an image's parts in a microvm; its serial console is QEMU's output."""
    # QEMU 7.2 interprets cmpxchg16b wrongly, which corrupts 6.12 kernels: 7 of 20 boots fail. 10 is right.
    cpu = "max" if qemu.version >= (10, 0) else "max,-cx16"
    return [
        *_common(qemu, memory_mb=memory_mb, cpus=cpus, vhost_socket=vhost_socket),
        # The device lives in a process of its own, which reads the guest's memory: so it is shared memory.
        # Without ACPI the devices are named on the kernel's command line, as Nitro names them: a kernel for
        # enclaves looks there and often has no ACPI at all.
        *("-M", "microvm,memory-backend=memory,acpi=off", "-cpu", cpu),
        *("-object", f"memory-backend-memfd,id=memory,size={memory_mb}M,share=on"),
        *("-device", "vhost-user-vsock-device,chardev=vsock"),
        *("-kernel", parts.kernel, "-initrd", parts.ramdisk, "-append", parts.command_line),
    ]


def _common(qemu: Qemu, *, memory_mb: int, cpus: int, vhost_socket: Path) -> list[str | Path]:
    return [
        qemu.path,
        *(("-L", qemu.data) if qemu.data else ()),
        *("-accel", "tcg", "-m", f"{memory_mb}M", "-smp", str(cpus)),
        # A guest that reboots (reboot=t, panic=30) has ended.
        *("-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio"),
        *("-chardev", f"socket,id=vsock,path={vhost_socket}"),
    ]


def _find(name: str, chosen: Path | None, *, cure: str) -> Path:
    if chosen is not None:
        if os.access(chosen, os.X_OK) and chosen.is_file():
            return chosen.absolute()
        raise ParentError(f"{chosen} is not a program", cure=cure)
    path = shutil.which(name, path=tool_folder() / "bin") or shutil.which(name)
    if path is None:
        raise ParentError(f"{name} was not found", cure=cure)
    return Path(path).absolute()


async def _ask(path: Path, *question: str) -> str:
    try:
        result = await trio.run_process([path, *question], capture_stdout=True, capture_stderr=True, check=False)
    except OSError as problem:
        raise ParentError(f"{path} cannot be run: {problem.strerror}") from problem
    if result.returncode != 0:
        said = result.stderr.decode("utf-8", "replace").strip()
        raise ParentError(f"{path} {' '.join(question)} failed: {said or f'exit code {result.returncode}'}")
    return result.stdout.decode("utf-8", "replace")
