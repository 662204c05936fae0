from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import trio_test

from enclaver_runtime.parent import machine
from enclaver_runtime.parent.errors import ParentError
from enclaver_runtime.parent.machine import BootParts, Machine, Qemu

SOCKET = Path("/run/vhost.sock")
NITRO = Qemu(path=Path("/q"), version=(10, 0), machine=Machine.NITRO_ENCLAVE, data=Path("/share/qemu"))
OLD = Qemu(path=Path("/q"), version=(7, 2), machine=Machine.MICROVM, data=None)
NEW = Qemu(path=Path("/q"), version=(10, 0), machine=Machine.MICROVM, data=None)
PARTS = BootParts(kernel=Path("/k"), command_line="console=ttyS0 a,b", ramdisk=Path("/r"))


def _pairs(command: list[str | Path]) -> dict[str, list[str]]:
    words = [str(word) for word in command[1:]]
    options: dict[str, list[str]] = {}
    while words:
        option = words.pop(0)
        assert option.startswith("-")
        options.setdefault(option, []).append(words.pop(0) if words and not words[0].startswith("-") else "")
    return options


def test_nitro_reads_the_eif_itself() -> None:
    options = _pairs(machine.nitro_command(NITRO, eif=Path("/x.eif"), vhost_socket=SOCKET, memory_mb=600, cpus=3))
    assert options["-M"] == ["nitro-enclave,vsock=vsock,id=enclaver"]
    assert options["-kernel"] == ["/x.eif"]
    assert options["-chardev"] == ["socket,id=vsock,path=/run/vhost.sock"]
    assert options["-L"] == ["/share/qemu"]
    assert (options["-m"], options["-smp"], options["-cpu"]) == (["600M"], ["3"], ["max"])
    assert "-initrd" not in options


@pytest.mark.parametrize(("qemu", "cpu"), [(OLD, "max,-cx16"), (NEW, "max")])
def test_microvm_gets_the_parts(qemu: Qemu, cpu: str) -> None:
    options = _pairs(machine.microvm_command(qemu, parts=PARTS, vhost_socket=SOCKET, memory_mb=512, cpus=2))
    assert options["-M"] == ["microvm,memory-backend=memory,acpi=off"]
    assert options["-object"] == ["memory-backend-memfd,id=memory,size=512M,share=on"]
    assert options["-cpu"] == [cpu]
    assert (options["-kernel"], options["-initrd"]) == (["/k"], ["/r"])
    assert options["-append"] == ["console=ttyS0 a,b"]
    assert "-L" not in options


def test_vhost_serves_both_sockets() -> None:
    assert machine.vhost_command(Path("/v"), uds=Path("/run/vm"), vhost_socket=SOCKET) == [
        Path("/v"),
        "--vm",
        "guest-cid=16,uds-path=/run/vm,socket=/run/vhost.sock,tx-buffer-size=16384",
    ]


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def _qemu(path: Path, version: str, *machines: str) -> Path:
    listed = "\n".join(f"{name} description" for name in machines)
    return _program(
        path,
        f'if [ "$1" = --version ]; then echo "{version}"; else echo "Supported machines are:\n{listed}"; fi\n',
    )


@trio_test
async def test_inspect_prefers_the_nitro_machine(tmp_path: Path) -> None:
    path = _qemu(tmp_path / "bin" / "q", "QEMU emulator version 10.0.13", "microvm", "nitro-enclave", "pc")
    data = tmp_path / "share" / "qemu"
    data.mkdir(parents=True)
    (data / "bios-microvm.bin").touch()
    found = await machine.inspect(path)
    assert found == Qemu(path=path, version=(10, 0), machine=Machine.NITRO_ENCLAVE, data=data)
    assert str(found) == f"QEMU 10.0 ({path}), machine nitro-enclave"
    assert (await machine.inspect(path, machine=Machine.MICROVM)).machine is Machine.MICROVM


@trio_test
async def test_inspect_takes_microvm_where_there_is_no_other(tmp_path: Path) -> None:
    path = _qemu(tmp_path / "q", "QEMU emulator version 7.2.9 (Debian 1:7.2)", "microvm", "pc")
    assert await machine.inspect(path) == Qemu(path=path, version=(7, 2), machine=Machine.MICROVM, data=None)
    with pytest.raises(ParentError, match="has no machine nitro-enclave"):
        await machine.inspect(path, machine=Machine.NITRO_ENCLAVE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo hello\n", "does not say which version"),
        ("echo no library >&2; exit 127\n", "failed: no library"),
        ("exit 3\n", "failed: exit code 3"),
        ('echo "version 9.1"\n', "has no machine nitro-enclave or microvm"),
    ],
)
@trio_test
async def test_inspect_refuses_what_is_no_qemu(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ParentError, match=message):
        await machine.inspect(_program(tmp_path / "q", text))


@trio_test
async def test_inspect_refuses_what_cannot_run(tmp_path: Path) -> None:
    path = tmp_path / "q"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(ParentError, match="cannot be run"):
        await machine.inspect(path)


def test_programs_are_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCLAVER_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    for find, name in (
        (machine.find_qemu, "qemu-system-x86_64"),
        (machine.find_vhost_device_vsock, "vhost-device-vsock"),
    ):
        with pytest.raises(ParentError, match=f"{name} was not found .*ci-tools"):
            find()
        on_path = _program(tmp_path / "path" / name, "")
        assert find() == on_path
        cached = _program(tmp_path / "tools" / "bin" / name, "")
        assert find() == cached
        chosen = _program(tmp_path / "chosen", "")
        assert find(chosen) == chosen
        with pytest.raises(ParentError, match="nothing is not a program"):
            find(tmp_path / "nothing")
        with pytest.raises(ParentError, match="is not a program"):
            find(tmp_path)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"ENCLAVER_TOOLS": "/t", "XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/t"),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/enclaver-tools"),
        ({"HOME": "/h"}, "/h/.cache/enclaver-tools"),
    ],
)
def test_tool_folder(environment: dict[str, str], folder: str) -> None:
    assert machine.tool_folder(environment) == Path(folder)
