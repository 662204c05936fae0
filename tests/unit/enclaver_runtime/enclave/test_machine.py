from __future__ import annotations

import codecs
import os
import resource
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cbor2
import pytest
import trio
from trio.testing import trio_test

from enclaver_runtime import config
from enclaver_runtime.config import ConfigError
from enclaver_runtime.enclave import entropy, filesystems, machine
from enclaver_runtime.enclave.console import Console
from enclaver_runtime.enclave.development_nsm import NOTICE
from enclaver_runtime.enclave.security_module import NsmUnavailableError
from enclaver_runtime.enclave.services import Provider
from enclaver_runtime.protocol import development_nsm
from enclaver_runtime.transport import nsm_device, syscalls, vsock
from tests.unit.enclaver_runtime.isolation import in_child, needs_root


def prepare() -> list[str]:
    """Run the real preparation; what it said on the console, without prefixes."""
    with tempfile.TemporaryFile() as file:
        machine.prepare(Console(file.fileno()))
        file.seek(0)
        return [line.split("] ", 1)[1] for line in file.read().decode().splitlines()]


@needs_root
def test_the_real_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them for real, in namespaces of their own and with a folder as PID 1's root."""

    def scenario() -> tuple[list[str], list[str], str, tuple[int, int], bool]:
        # Python would look for it in its library, which is out of reach in the new root.
        codecs.lookup("ascii")
        new = tempfile.mkdtemp()
        os.mkdir(f"{new}/rootfs")
        os.chroot(new)
        os.chdir("/")
        with tempfile.TemporaryFile(dir="/") as file:
            machine.prepare(Console(file.fileno()))
            file.seek(0)
            said = [line.split("] ", 1)[1] for line in file.read().decode().splitlines()]
        return (
            said,
            sorted(os.listdir("/rootfs")),
            socket.gethostname(),
            resource.getrlimit(resource.RLIMIT_NOFILE),
            os.path.exists("/proc/self") and os.path.exists("/rootfs/proc/self"),
        )

    monkeypatch.setattr(nsm_device, "PATH", "/no/such/nsm")
    # A container may lack the capability to raise its limit.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    monkeypatch.setattr(machine, "_OPEN_FILES", limit)
    said, root, name, files, proc = in_child(scenario, namespaces=True)
    steps = [line for line in said if " not mounted: " not in line]
    assert steps == [
        "mounts",
        "network",
        "no security module: this enclave cannot prove what it is",
        "security module",
        "app root",
    ]
    assert root == ["dev", "etc", "proc", "sys", "tmp"]
    assert (name, files, proc) == ("enclave", (limit, limit), True)


@needs_root
def test_what_another_init_has_mounted_is_taken_as_it_is() -> None:
    """The mounts of AWS's init: as its child this process would find them."""

    def scenario() -> tuple[str, list[str], str]:
        codecs.lookup("ascii")
        new = tempfile.mkdtemp()
        os.chroot(new)
        os.chdir("/")
        for mount in filesystems.BASE:
            if mount.target in ("proc", "sys", "tmp"):
                os.mkdir(f"/{mount.target}")
                syscalls.mount(mount.kind, f"/{mount.target}", mount.kind)
        Path("/tmp/theirs").write_text("still there")
        left_out = [line for line in machine._mounts() if " not mounted: " not in line]
        return Path("/tmp/theirs").read_text(), left_out, Path("/proc/self/mounts").read_text()

    theirs, said, mounts = in_child(scenario, namespaces=True)
    assert (theirs, said) == ("still there", [])
    targets = [line.split()[1] for line in mounts.splitlines()]
    assert len(targets) == len(set(targets))
    assert {f"/{mount.target}" for mount in filesystems.BASE if mount.needed} <= set(targets)


def test_the_heartbeat_is_sent_by_the_first_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.machine(Console()).connect is None
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert machine.machine(Console()).connect is vsock.connect


def answer(request: bytes) -> bytes:
    if cbor2.loads(request) == "GetRandom":
        return cbor2.dumps({"GetRandom": {"random": b"seed"}})
    return cbor2.dumps({"DescribePCR": {"lock": True, "data": b"\xab" * 48}})


class Device:
    """A security module without a device."""

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, request: bytes) -> bytes:
        return answer(request)


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's, with nothing of note on it."""
    path = tmp_path / "cmdline"
    path.write_text("console=ttyS0 panic=30\n")
    monkeypatch.setattr(machine, "COMMAND_LINE", str(path))
    return path


def only_security_module(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [step for step in machine._STEPS if step[0] == "security module"]
    monkeypatch.setattr(machine, "_STEPS", steps)


def test_a_security_module_seeds_and_is_asked_for_the_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Path
) -> None:
    only_security_module(monkeypatch)
    seeds: list[bytes] = []
    (tmp_path / "nsm").touch()
    monkeypatch.setattr(nsm_device, "PATH", str(tmp_path / "nsm"))
    monkeypatch.setattr(nsm_device, "NsmDevice", Device)
    monkeypatch.setattr(entropy, "credit", seeds.append)
    assert prepare() == [*(f"PCR{index}={'ab' * 48}" for index in (0, 1, 2)), "security module"]
    assert seeds == [b"seed"]


def test_the_driver_is_loaded_when_the_kernel_lacks_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Path
) -> None:
    only_security_module(monkeypatch)
    loaded: list[str] = []
    (tmp_path / "nsm.ko").touch()
    monkeypatch.setattr(nsm_device, "PATH", str(tmp_path / "nsm"))
    monkeypatch.setattr(machine, "NSM_MODULE", str(tmp_path / "nsm.ko"))
    monkeypatch.setattr(syscalls, "load_module", loaded.append)
    prepare()
    assert loaded == [str(tmp_path / "nsm.ko")]


def asking(command_line: Path) -> None:
    command_line.write_text(f"console=ttyS0 {development_nsm.COMMAND_LINE_WORD} virtio_mmio.device=512@0xfeb00e00:12\n")


@pytest.mark.parametrize("has_device", [True, False])
def test_a_kernel_whose_command_line_asks_for_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Path, has_device: bool
) -> None:
    asking(command_line)
    only_security_module(monkeypatch)
    if has_device:
        (tmp_path / "nsm").touch()
    monkeypatch.setattr(nsm_device, "PATH", str(tmp_path / "nsm"))
    monkeypatch.setattr(nsm_device, "NsmDevice", Device)
    monkeypatch.setattr(entropy, "credit", lambda _: None)
    registers = [f"PCR{index}={'ab' * 48}" for index in (0, 1, 2)] if has_device else []
    assert prepare() == [*registers, NOTICE, "security module"]


@trio_test
async def test_services_ask_the_machines_own_module_unless_the_command_line_wants_the_parents(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Path
) -> None:
    asked: list[int] = []

    async def connect(cid: int, port: int) -> trio.SocketStream:
        asked.append(port)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(vsock, "connect", connect)
    with pytest.raises(NsmUnavailableError, match="this enclave has no security module"):
        await machine.security_module().attest()
    assert asked == []
    # Also where there is a device: the emulator's signs nothing.
    (tmp_path / "nsm").touch()
    monkeypatch.setattr(nsm_device, "PATH", str(tmp_path / "nsm"))
    asking(command_line)
    with pytest.raises(NsmUnavailableError, match="does not answer: Connection refused"):
        await machine.security_module().attest()
    assert set(asked) == {development_nsm.PORT}


def test_runtime_json_is_read_to_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "runtime.json"
    monkeypatch.setattr(config, "PATH", str(path))
    read = machine.machine(Console()).read_config
    with pytest.raises(ConfigError, match=r"runtime\.json cannot be read: No such file"):
        read()
    path.write_bytes(b" " * (config.MAX_SIZE + 10))
    with suppress(ConfigError):
        assert len(read()) == config.MAX_SIZE + 1
        config.parse(read())


def test_all_services_share_one_security_module(monkeypatch: pytest.MonkeyPatch, command_line: Path) -> None:
    given: list[Callable[[], object]] = []

    def providers(*, security_module: Callable[[], object], **_: object) -> dict[str, Provider]:
        given.append(security_module)
        return {}

    monkeypatch.setattr(machine, "providers", providers)
    machine.machine(Console()).providers(lambda _: None)
    assert given[0]() is given[0]()
