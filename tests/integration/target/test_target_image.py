"""Target images in real engines: loaded, copied, unpacked, run with QEMU and with a nitro-cli, and stopped."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enclaver.core.oci import image
from enclaver.core.pcr import report
from tests.integration.container_tools import DockerDaemon, docker_daemon, registry
from tests.integration.images.unpacked import ours, shown, umoci
from tests.integration.leftovers import processes_with
from tests.integration.runtime.booted import PATIENCE
from tests.integration.runtime.rewritten import rewritten
from tests.integration.target.targets import EMULATING, HELLO, NAME, PLAIN, Parts
from tests.integration.tools import require
from tests.unit.enclaver_runtime.parent.nitro_stand_in import StandIn

pytestmark = pytest.mark.slow

URLS = ("http://127.0.0.1:8000/", "http://[::1]:8000/")
INTERRUPTED = 109
# There is no Nitro hardware, but where its device is, is looked at only.
DEVICE = ("--device", "/dev/null:/dev/nitro_enclaves")
STATES = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            print(stat.read().rpartition(")")[2].split()[0])
    except FileNotFoundError:
        pass
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts.fetched(tmp_path_factory.mktemp("parts"), PLAIN, EMULATING)


@pytest.fixture(scope="module")
def emulating(parts: Parts) -> Path:
    """An image that can emulate, with a real nitro-cli in it too."""
    return parts.build(parts.folder / "emulating", "--nitro-cli", require("nitro-cli"), emulator=True)


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with docker_daemon() as daemon:
        yield Docker(daemon)


class Docker:
    """A daemon and its containers: without a network, or in the host's, since it has no other here."""

    def __init__(self, daemon: DockerDaemon) -> None:
        self.daemon = daemon

    def load(self, path: Path, name: str = NAME) -> None:
        told = self.daemon.docker("load", "--input", path)
        assert told.splitlines()[-1] == f"Loaded image: {name}"

    def inspect(self, what: str, form: str) -> Any:
        return json.loads(self.daemon.docker("inspect", "--format", f"{{{{json {form}}}}}", what))

    def start(self, *options: str, name: str = NAME, arguments: tuple[str, ...] = (), network: str = "none") -> str:
        return self.daemon.docker("run", "--detach", "--network", network, *options, name, *arguments)

    def run(self, *options: str, name: str = NAME, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run a container to its end; return its exit code and all that it said."""
        container = self.start(*options, name=name, arguments=arguments)
        code = int(self.daemon.docker("wait", container))
        return code, self.said(container)

    def said(self, container: str) -> str:
        done = subprocess.run(
            [require("docker"), "logs", container],
            env=dict(self.daemon.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        )
        return done.stdout.decode()

    def stop(self, container: str, seconds: int = 40) -> int:
        """Stop a container as an operator does, and return its exit code."""
        self.daemon.docker("stop", "-t", str(seconds), container)
        return int(self.daemon.docker("wait", container))

    def wait(self, container: str, what: Callable[[], object]) -> None:
        """Wait until something is so, while the container runs."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert self.inspect(container, ".State.Running"), self.said(container)
            assert time.monotonic() < deadline, self.said(container)
            time.sleep(0.2)


def answer(url: str) -> str:
    """What the enclave's app answers; '' as long as it does not."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def digest_of(archive: Path) -> str:
    """The digest of the image's manifest, as the archive's index has it."""
    index = json.loads(subprocess.run(["tar", "-xOf", archive, "index.json"], capture_output=True, check=True).stdout)
    return str(index["manifests"][0]["digest"])


def test_docker_loads_it_and_it_says_what_it_is(docker: Docker, emulating: Path) -> None:
    docker.load(emulating)
    measured = report.load(HELLO.with_suffix(".pcrs.json")).registers()
    labels = docker.inspect(NAME, ".Config.Labels")
    assert labels.pop("org.opencontainers.image.title") == "hello"
    assert labels == {f"io.enclaver.{name.lower()}": value for name, value in measured.items()}
    assert docker.inspect(NAME, ".Config.ExposedPorts") == {"8000/tcp": {}}
    assert docker.inspect(NAME, ".Architecture") == "amd64"
    steps = docker.daemon.docker("history", "--format", "{{.CreatedBy}}", NAME).splitlines()
    assert steps == ["the enclave", "programs", "enclaver run", "Debian"]


def copied(archive: Path, layout: Path, *options: str) -> tuple[str, str]:
    """Copy an image into a layout by skopeo; return its digest there, and its configuration's."""
    command: list[str | Path] = [
        require("skopeo"),
        "--insecure-policy",
        "copy",
        *options,
        f"oci-archive:{archive}",
        f"oci:{layout}:it",
    ]
    subprocess.run(command, check=True, capture_output=True)
    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    algorithm, _, value = entry["digest"].partition(":")
    manifest = json.loads((layout / "blobs" / algorithm / value).read_bytes())
    return entry["digest"], manifest["config"]["digest"]


def test_skopeo_copies_it_as_it_is_and_umoci_unpacks_what_we_read(emulating: Path, tmp_path: Path) -> None:
    found, config = copied(emulating, tmp_path / "layout", "--preserve-digests")
    assert found == digest_of(emulating)
    # Otherwise it packs the layers. What they unpack to is the same, and so is docker's id of the image.
    packed, same_config = copied(emulating, tmp_path / "packed")
    assert packed != found
    assert same_config == config
    (tmp_path / "work").mkdir()
    tree = image.read(emulating, tmp_path / "work", architecture="x86_64").tree
    for layout in ("layout", "packed"):
        assert ours(tree) == shown(umoci(tmp_path / layout, "it", tmp_path / f"{layout}-bundle"))


def test_a_registry_keeps_it_as_it_is(docker: Docker, emulating: Path, tmp_path: Path) -> None:
    """Layers without compression are nothing that registries see often."""
    found = digest_of(emulating)
    with registry(tmp_path) as served:
        name = f"{served.host}/hello"
        to = ["--dest-tls-verify=false", "--preserve-digests", f"oci-archive:{emulating}", f"docker://{name}:1"]
        subprocess.run([require("skopeo"), "--insecure-policy", "copy", *to], check=True, capture_output=True)
        docker.daemon.docker("pull", "--quiet", f"{name}:1")
    assert docker.inspect(f"{name}:1", ".RepoDigests") == [f"{name}@{found}"]
    docker.load(emulating)
    assert docker.inspect(f"{name}:1", ".Id") == docker.inspect(NAME, ".Id")


def test_it_is_the_same_anywhere(parts: Parts, tmp_path: Path) -> None:
    found = set()
    for number, (seed, zone, language, umask) in enumerate(
        [("0", "UTC", "C", 0o022), ("1", "Asia/Tokyo", "C.UTF-8", 0o077), ("2", "America/Lima", "tr_TR.UTF-8", 0)]
    ):
        folder = tmp_path / f"folder {number}"
        folder.mkdir()
        env = {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": language, "HOME": str(folder)}
        path = parts.build(folder / "x", umask=umask, cwd=folder, env=env)
        found.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert path.stat().st_mode & 0o777 == 0o644
    assert len(found) == 1


def test_an_emulated_enclave_serves_and_is_stopped(docker: Docker, emulating: Path) -> None:
    docker.load(emulating)
    container = docker.start(network="host")
    docker.wait(container, lambda: answer(URLS[0]))
    for url in URLS:
        assert json.loads(answer(url))["message"] == "hello from the enclave"
    states = docker.daemon.docker("exec", container, "python3", "-B", "-c", STATES).split()
    assert len(states) >= 4
    assert "Z" not in states
    assert docker.stop(container) == INTERRUPTED
    said = docker.said(container)
    assert "THIS ENCLAVE IS EMULATED AND PROTECTS NOTHING" in said
    assert "SIGTERM: the app is asked to end" in said
    assert "hello from the enclave: listening on port 8000" in said
    # As the container names it; others may emulate on this machine meanwhile.
    assert not processes_with("/usr/bin/vhost-device-vsock")
    # Nothing was left in its files either.
    assert docker.daemon.docker("diff", container) == ""


def test_it_needs_no_root_no_capability_no_ipv6_and_nothing_to_write_to(docker: Docker, emulating: Path) -> None:
    docker.load(emulating)
    options = ("--user", "1000:1000", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/tmp")
    container = docker.start(*options)

    def serves() -> bool:
        ask = f"from urllib.request import urlopen; urlopen({URLS[0]!r}, timeout=10)"
        command: list[str | Path] = [require("docker"), "exec", container, "python3", "-B", "-c", ask]
        done = subprocess.run(command, env=dict(docker.daemon.environment), capture_output=True, check=False)
        return done.returncode == 0

    docker.wait(container, serves)
    assert docker.stop(container) == INTERRUPTED


def test_arguments_follow_the_images_own(docker: Docker, emulating: Path) -> None:
    docker.load(emulating)
    container = docker.start(arguments=("--publish", "127.0.0.1:0:8000", "--memory-mb", "600"))
    docker.wait(container, lambda: "leads to the enclave's port 8000" in docker.said(container))
    said = docker.said(container)
    assert "600 MiB" in said
    assert "0.0.0.0:8000" not in said
    assert docker.stop(container) == INTERRUPTED


def test_the_apps_exit_code_is_the_containers(docker: Docker, parts: Parts, tmp_path: Path) -> None:
    argv = ["/usr/bin/python3.11", "-c", "import sys; print('last words', flush=True); sys.exit(42)"]
    eif = rewritten(HELLO, tmp_path, argv=argv)
    docker.load(parts.build(tmp_path / "exits", eif=eif, name="exits:1", emulator=True), "exits:1")
    code, said = docker.run(name="exits:1")
    assert code == 42
    assert "last words" in said
    assert "the app exited with code 42" in said


def test_a_container_is_stopped_at_once_while_it_starts(docker: Docker, emulating: Path) -> None:
    """Before its own handlers are there; only Python's own start, some tenths of a second, hears nothing."""
    docker.load(emulating)
    container = docker.start()
    docker.wait(container, lambda: "sigterm" in signals(docker, container))
    before = time.monotonic()
    assert docker.stop(container) == INTERRUPTED
    assert time.monotonic() - before < 10


def signals(docker: Docker, container: str) -> str:
    """Whether the container's first process catches SIGTERM."""
    pid = docker.inspect(container, ".State.Pid")
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return "sigterm" if caught & 1 << 14 else ""


def test_it_is_described_by_its_own_command(docker: Docker, emulating: Path) -> None:
    docker.load(emulating)
    arguments = ("describe", "--json", "/enclave/application.eif")
    code, said = docker.run("--entrypoint", "enclaver", arguments=arguments)
    assert code == 0
    assert json.loads(said)["measurements"] == report.load(HELLO.with_suffix(".pcrs.json")).registers()


def test_a_real_nitro_cli_runs_in_it(docker: Docker, emulating: Path) -> None:
    docker.load(emulating)
    assert docker.run("--entrypoint", "nitro-cli", arguments=("describe-enclaves",)) == (0, "[]\n")
    code, said = docker.run(*DEVICE)
    assert code == 1
    assert "nitro-cli run-enclave failed: E19: " in said
    assert "EMULATED" not in said


@pytest.fixture
def stand_in(docker: Docker, parts: Parts, tmp_path: Path) -> StandIn:
    """A nitro-cli that is in the image ``nitro:1``, and notes what it does in a folder."""
    made = StandIn(tmp_path)
    _, _, program = made.program.read_text().partition("\n")
    made.program.write_text(f"#!/usr/bin/python3\n{program}")
    docker.load(parts.build(tmp_path / "nitro", "--nitro-cli", made.program, name="nitro:1"), "nitro:1")
    return made


def start_on_nitro(docker: Docker, folder: Path) -> str:
    """Start a container of that image, which has its folder; return it when it has an enclave."""
    container = docker.start(*DEVICE, "--volume", f"{folder}/enclaves:{folder}/enclaves", name="nitro:1")
    docker.wait(container, lambda: "enclave i-" in docker.said(container))
    return container


def test_where_there_is_nitro_hardware_its_nitro_cli_makes_the_enclave(
    docker: Docker, stand_in: StandIn, tmp_path: Path
) -> None:
    container = start_on_nitro(docker, tmp_path)
    (made,) = stand_in.enclaves
    assert (made["MemoryMiB"], made["NumberOfCPUs"]) == (512, 2)
    assert docker.stop(container) == INTERRUPTED
    assert stand_in.enclaves == []
    assert [call[0] for call in stand_in.calls] == ["describe-enclaves", "run-enclave", "terminate-enclave"]
    assert "/enclave/application.eif" in stand_in.calls[1]


def test_an_enclave_that_ends_by_itself_ends_the_container(docker: Docker, stand_in: StandIn, tmp_path: Path) -> None:
    """Who holds its resources is nobody's child once nitro-cli is done, so the first process inherits what is left."""
    container = start_on_nitro(docker, tmp_path)
    (made,) = stand_in.enclaves
    docker.daemon.docker("exec", container, "/bin/sh", "-c", f"kill -9 {made['ProcessID']}")
    assert docker.daemon.docker("wait", container) == "1"
    assert "the enclave's resources were given back" in docker.said(container)


def test_without_hardware_and_without_qemu_it_says_what_to_do(docker: Docker, parts: Parts, tmp_path: Path) -> None:
    docker.load(parts.build(tmp_path / "plain", name="plain:1"), "plain:1")
    code, said = docker.run(name="plain:1")
    assert code == 1
    assert "qemu-system-x86_64 was not found" in said
    assert "docker run --device /dev/nitro_enclaves" in said
    code, said = docker.run(*DEVICE, name="plain:1")
    assert code == 1
    assert "nitro-cli was not found" in said
