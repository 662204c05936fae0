from __future__ import annotations

import hashlib
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from enclaver.build.boot import boot
from enclaver.core.errors import EnclaverError
from enclaver.core.rootfs.entry import content_sha256
from enclaver.core.rootfs.tree import Kind, Tree
from enclaver.core.trust.materials import Input, load_tree
from tests.unit.enclaver.build import apps

SOURCES = Path(__file__).parents[4] / "runtime"
RUNTIME = {
    f"enclaver_runtime/{name}": name for name in ("init.py", "__init__.py", "enclave/boot.py", "parent/run.py", "BUILD")
}
THING = {"thing/__init__.py": "", "thing/_tests/test_x.py": "", "thing/tests/__init__.py": "", "thing/latests.py": ""}


class Parts:
    """What a boot ramdisk is made of, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels, self.runtime, self.kernel = folder / "wheels", folder / "runtime", folder / "kernel"
        for path in (self.wheels, self.runtime, self.kernel):
            path.mkdir(parents=True)
        self.lock = folder / "runtime.lock"
        self.lock.touch()
        self.base = apps.base(folder)
        self.output = folder / "boot.cpio", folder / "boot.json"

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.runtime / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def wheel(self, name: str, files: Mapping[str, str]) -> Path:
        path = self.wheels / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            marker = {f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"}
            for member, text in {**files, **marker}.items():
                archive.writestr(zipfile.ZipInfo(member), text)
        with self.lock.open("a") as lock:
            lock.write(f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
        return path

    def build(self) -> tuple[Tree, list[Input]]:
        boot(
            tree=self.base,
            wheels=self.wheels,
            wheel_lock=self.lock,
            runtime=self.runtime,
            kernel=self.kernel,
            output=self.output,
        )
        return load_tree(*self.output)

    def refuse(self, what: str) -> None:
        with pytest.raises(EnclaverError, match=what):
            self.build()
        assert not any(path.exists() for path in self.output)
        assert not list(self.folder.glob(".*"))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path / "x")
    made.write(RUNTIME)
    made.wheel("thing", THING)
    return made


def test_it_holds_python_wheels_and_the_enclaves_side_of_the_runtime(parts: Parts) -> None:
    tree, inputs = parts.build()
    assert {entry.path for entry in tree if entry.kind is Kind.FILE} == {
        "init",
        "usr/bin/dash",
        "usr/bin/python3.11",
        "usr/bin/python3.9",
        "usr/lib/enclaver/enclaver_runtime/__init__.py",
        "usr/lib/enclaver/enclaver_runtime/enclave/boot.py",
        "usr/lib/enclaver/thing-1.0.dist-info/WHEEL",
        "usr/lib/enclaver/thing/__init__.py",
        "usr/lib/enclaver/thing/latests.py",
    }
    modes = {entry.path: entry.mode for entry in tree}
    assert (modes["init"], modes["usr/lib/enclaver/enclaver_runtime/__init__.py"]) == (0o755, 0o644)
    assert (modes["tmp"], modes["root"], modes["rootfs"]) == (0o1777, 0o700, 0o755)
    devices = {entry.path: entry.device for entry in tree if entry.device}
    assert devices == {"dev/console": (5, 1), "dev/null": (1, 3)}
    assert [(one.kind, one.name, one.version) for one in inputs] == [
        ("deb", "base", "1"),
        ("runtime", "enclaver_runtime", None),
        ("wheel", "thing", "1.0"),
    ]


def test_the_runtimes_digest_is_that_of_what_is_in_the_image(parts: Parts) -> None:
    _, inputs = parts.build()
    held = sorted((name, text) for name, text in RUNTIME.items() if name.endswith(".py") and "/parent/" not in name)
    listing = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in held)
    (found,) = (one for one in inputs if one.kind == "runtime")
    assert (found.sha256, found.size) == (
        hashlib.sha256(listing.encode()).hexdigest(),
        sum(len(text) for _, text in held),
    )


def test_the_kernels_module_goes_along(parts: Parts) -> None:
    (parts.kernel / "nsm.ko").write_bytes(b"module")
    tree, inputs = parts.build()
    module = tree.get("usr/lib/enclaver/nsm.ko")
    assert module is not None
    assert (module.origin, content_sha256(tree.content(module))) == ("kernel", hashlib.sha256(b"module").hexdigest())
    assert ("kernel", "nsm.ko") in {(one.kind, one.name) for one in inputs}


def test_a_wheel_that_the_lock_does_not_know_is_refused(parts: Parts) -> None:
    parts.lock.write_text("thing==1.0 --hash=sha256:" + "0" * 64)
    parts.refuse("thing-1.0-py3-none-any.whl: its sha256 [0-9a-f]{64} is not in runtime.lock")


def test_two_wheels_with_one_path_are_refused_with_their_names(parts: Parts) -> None:
    parts.wheel("other", {"thing/__init__.py": "another"})
    parts.refuse("thing/__init__.py: brought twice.*wheel:other-1.0.*wheel:thing-1.0")


def test_what_is_missing_is_named(parts: Parts) -> None:
    shutil.move(parts.wheels, parts.folder / "away")
    parts.refuse("wheels: holds no wheels")
    shutil.move(parts.folder / "away", parts.wheels)
    (parts.runtime / "enclaver_runtime" / "init.py").unlink()
    parts.refuse("runtime: holds no enclaver_runtime/init.py")
    parts.lock.unlink()
    parts.refuse("runtime.lock: cannot read: No such file")


@pytest.fixture
def _restored() -> Iterator[None]:
    """Put back what the test changes of this process: umask and time zone."""
    umask, zone = os.umask(0o022), os.environ.get("TZ")
    yield
    os.umask(umask)
    os.environ.pop("TZ")
    if zone is not None:
        os.environ["TZ"] = zone
    time.tzset()


@pytest.mark.usefixtures("_restored")
def test_nothing_of_the_machine_shows(tmp_path: Path) -> None:
    """The runtime's own sources, in another order on disk, of another mode and time, under another umask and zone."""
    files = {path.relative_to(SOURCES).as_posix(): path.read_text() for path in sorted(SOURCES.rglob("*.py"))}
    made = []
    for folder, umask, zone, backwards in (
        ("one", 0o022, "UTC", False),
        ("another place", 0o077, "Pacific/Apia", True),
    ):
        os.umask(umask)
        os.environ["TZ"] = zone
        time.tzset()
        parts = Parts(tmp_path / folder)
        parts.write(dict(sorted(files.items(), reverse=backwards)))
        for name in ("b", "a") if backwards else ("a", "b"):
            parts.wheel(name, {f"{name}/__init__.py": name})
        if backwards:
            parts.write({"enclaver_runtime/__pycache__/init.cpython-311.pyc": "x", "elsewhere.py": "x"})
            for path in parts.runtime.rglob("*.py"):
                path.chmod(0o700)
                os.utime(path, (1, 1))
        parts.build()
        made.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in parts.output])
    assert made[0] == made[1]
