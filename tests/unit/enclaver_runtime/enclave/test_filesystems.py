from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from enclaver_runtime.enclave import filesystems
from enclaver_runtime.enclave.filesystems import APP, BASE, DEVICES, Mount, RootError
from tests.unit.enclaver_runtime.isolation import in_child, needs_root

pytestmark = needs_root


def mounts_below(root: str) -> dict[str, tuple[str, set[str]]]:
    """Kind and options by path below ``root``."""
    found = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options = line.split()[:4]
        if target.startswith(root + "/"):
            found[target.removeprefix(root + "/")] = (kind, set(options.split(",")))
    return found


def test_pid_1s_own_mounts() -> None:
    def scenario() -> tuple[dict[str, tuple[str, set[str]]], list[str]]:
        root = tempfile.mkdtemp()
        left_out = filesystems.mount_all(BASE, root)
        return mounts_below(root), left_out

    found, left_out = in_child(scenario, namespaces=True)
    expected = {mount.target: mount.kind for mount in BASE if mount.needed or not left_out}
    assert {target: kind for target, (kind, _) in found.items()} == expected
    assert {"nosuid", "nodev", "noexec"} <= found["proc"][1]
    assert "mode=755" in found["run"][1]


def prepared(**files: str) -> tuple[str, list[str]]:
    root = tempfile.mkdtemp()
    os.mkdir(f"{root}/etc")
    for name, text in files.items():
        os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
        Path(root, name).write_text(text)
    return root, filesystems.prepare_root(root)


def test_what_the_app_finds_mounted() -> None:
    def scenario() -> tuple[dict[str, tuple[str, set[str]]], list[str]]:
        root, left_out = prepared()
        return mounts_below(root), left_out

    found, left_out = in_child(scenario, namespaces=True)
    for mount in APP:
        if mount.needed or not left_out:
            assert found[mount.target][0] == mount.kind
    assert "ro" in found["sys"][1]
    assert "ro" in found["proc/sys"][1]
    assert "rw" in found["proc"][1]
    assert {"nosuid", "nodev"} <= found["tmp"][1]


def test_the_apps_devices() -> None:
    def scenario() -> dict[str, tuple[int, tuple[int, int]]]:
        # A umask of the machine must not show.
        os.umask(0o077)
        root, _ = prepared()
        with open(f"{root}/dev/null", "wb") as null:
            null.write(b"x")
        assert os.readlink(f"{root}/dev/fd") == "/proc/self/fd"
        assert os.path.exists(f"{root}/dev/ptmx")
        result = {}
        for entry in os.scandir(f"{root}/dev"):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(status.st_mode):
                number = os.major(status.st_rdev), os.minor(status.st_rdev)
                result[entry.name] = (stat.S_IMODE(status.st_mode), number)
        return result

    expected = {name: (0o666, number) for name, number in DEVICES.items()}
    assert in_child(scenario, namespaces=True) == expected


def test_an_images_own_temporary_files_stay() -> None:
    def scenario() -> tuple[str, int, bool]:
        root, _ = prepared(**{"tmp/cache/file": "kept"})
        text = Path(root, "tmp/cache/file").read_text()
        return text, stat.S_IMODE(os.stat(f"{root}/tmp").st_mode), os.path.ismount(f"{root}/tmp")

    assert in_child(scenario, namespaces=True) == ("kept", 0o1777, False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", "localhost"), ("10.0.0.1\tdatabase\n", "database"), (None, "localhost")],
)
def test_localhost_is_known_unless_the_image_has_its_own_hosts(given: str | None, expected: str) -> None:
    def scenario() -> str:
        root, _ = prepared(**({} if given is None else {"etc/hosts": given}))
        return Path(root, "etc/hosts").read_text()

    assert expected in in_child(scenario, namespaces=True)


def test_a_hosts_file_that_is_a_link_is_the_images_affair() -> None:
    def scenario() -> str:
        root = tempfile.mkdtemp()
        os.mkdir(f"{root}/etc")
        os.symlink("/no/such", f"{root}/etc/hosts")
        filesystems.prepare_root(root)
        return os.readlink(f"{root}/etc/hosts")

    assert in_child(scenario, namespaces=True) == "/no/such"


@pytest.mark.parametrize("name", ["dev", "proc", "tmp", "etc"])
def test_a_mount_point_that_is_a_link_is_refused(name: str) -> None:
    def scenario() -> str:
        root = tempfile.mkdtemp()
        os.symlink("/", f"{root}/{name}")
        try:
            filesystems.prepare_root(root)
        except RootError as error:
            return str(error).removeprefix(root)
        return "prepared"

    assert in_child(scenario, namespaces=True) == f"/{name} is not a folder, so nothing can be mounted there"


def test_a_missing_root_is_an_error() -> None:
    with pytest.raises(RootError, match="/no/such/root is missing"):
        filesystems.prepare_root("/no/such/root")


def test_only_what_is_not_needed_may_fail() -> None:
    def scenario() -> tuple[list[str], str]:
        root = tempfile.mkdtemp()
        left_out = filesystems.mount_all([Mount("a", "no-such-kind", needed=False)], root)
        try:
            filesystems.mount_all([Mount("a", "no-such-kind")], root)
        except OSError as error:
            return [text.removeprefix(root) for text in left_out], str(error.strerror)
        return left_out, "mounted"

    assert in_child(scenario, namespaces=True) == (["/a not mounted: No such device"], "No such device")
