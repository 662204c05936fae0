"""Every stage as Pants runs it: a program of its own, with exactly the sources that its closure holds."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import split
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enclaver.build.image_config import obeyed_config
from enclaver.cli import stages
from enclaver.cli.stages import program
from enclaver.core.eif.reader import read
from enclaver.core.errors import EnclaverError
from enclaver.core.manifest.problems import ManifestError
from enclaver.core.oci.image import read as read_image
from enclaver.core.rootfs.tree import Tree
from enclaver.core.trust.materials import save_tree
from tests import fake_debian
from tests.certificates import ec_key, key_pem, self_signed
from tests.fake_debian import Member
from tests.unit.enclaver.build import apps, runners
from tests.unit.enclaver.build.test_image import bz_image

STAGES = sorted(module.name for module in pkgutil.iter_modules(stages.__path__) if module.name != "program")
KERNEL_ARGUMENTS = ("toolchain-lock", "debs", "source-lock", "source", "config", "output")


def sources() -> ModuleType:
    """Load the plugin's scanner of sources by its path: its package is of Pants' own Python."""
    path = Path(stages.__path__[0]).parents[1] / "util_rules" / "sources.py"
    spec = importlib.util.spec_from_file_location("closure_of_sources", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    for path, data in sources().closure(f"enclaver.cli.stages.{name}", "enclaver").items():
        target = folder / "src" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    third_party = [path for path in sys.path if not Path(path, "enclaver").exists()]
    return subprocess.run(
        [sys.executable, "-m", f"enclaver.cli.stages.{name}", *arguments],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join([str(folder / "src"), *third_party])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_starts_with_its_closure_alone(name: str, tmp_path: Path) -> None:
    done = start(name, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


@pytest.mark.slow
def test_a_refusal_is_one_message_and_1(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: v1\nnmae: x\n")
    done = start("manifest", tmp_path, "--manifest", "bad.yaml", "--output", "out.json")
    assert done.returncode == 1
    assert "bad.yaml:2:1: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_one_message_too(tmp_path: Path) -> None:
    done = start("kernel", tmp_path, *(f"--{name}=gone" for name in KERNEL_ARGUMENTS))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "gone: No such file or directory\n")


def test_the_one_file_that_a_stage_left(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert program.only_file(tmp_path) == tmp_path / "a"
    (tmp_path / "b").touch()
    with pytest.raises(EnclaverError, match=f"{tmp_path}: holds 2 files, not 1"):
        program.only_file(tmp_path)


def execute(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    """Run a stage in this process, in the working folder, as Pants does in its sandbox."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    importlib.import_module(f"enclaver.cli.stages.{name}").run()


def test_a_file_to_an_image_through_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments and file names of util_rules/stages.py, and what each stage leaves for the next."""
    monkeypatch.chdir(tmp_path)
    deb = fake_debian.deb([Member("./usr/bin/python3.11", apps.elf(), mode=0o755)])
    package = fake_debian.package("python3", deb)
    fake_debian.write_lock(Path("debian.lock.json"), [package], ["python3"])
    served = Path("mirror/debian", package.path)
    served.parent.mkdir(parents=True)
    served.write_bytes(deb)
    mirror = f"file://{tmp_path}/mirror"
    execute(monkeypatch, "fetch_debian", *split("--lock debian.lock.json --output debs --cache cache --mirror"), mirror)
    execute(
        monkeypatch, "debian_tree", *split("--lock debian.lock.json --debs debs --cpio tree.cpio --entries tree.json")
    )

    for folder in ("wheels", "kernel", "app", "runtime/enclaver_runtime"):
        Path(folder).mkdir(parents=True)
    with zipfile.ZipFile("wheels/thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    digest = hashlib.sha256(Path("wheels/thing-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    Path("runtime.lock").write_text(f"thing==1.0 --hash=sha256:{digest}\n")
    Path("runtime/enclaver_runtime/init.py").write_text("")
    Path("kernel/bzImage").write_bytes(bz_image())
    Path("kernel/cmdline").write_text("console=ttyS0")
    boot = "--tree tree.cpio --entries tree.json --wheels wheels --wheel-lock runtime.lock --runtime runtime"
    execute(monkeypatch, "boot", *split(f"{boot} --kernel kernel --cpio boot.cpio --cpio-entries boot.json"))

    apps.pex(Path("app/server.pex"))
    apps.description(Path("app.json"), [apps.item("server.pex")])
    Path("enclaver.yaml").write_text(apps.MANIFEST + "defaults:\n  memory_mb: 512\n")
    execute(monkeypatch, "manifest", *split("--manifest enclaver.yaml --output manifest.json"))
    app = "--tree tree.cpio --entries tree.json --app app --spec app.json --manifest enclaver.yaml"
    execute(monkeypatch, "app", *split(f"{app} --cpio app.cpio --cpio-entries app.entries.json"))

    parts = "--kernel kernel --boot boot.cpio boot.json --app app.cpio app.entries.json --manifest enclaver.yaml"
    execute(monkeypatch, "image", *split(f"{parts} --architecture x86_64 --output dist/x"))
    image = read(Path("dist/x.eif"))
    assert (image.header.memory_bytes >> 20, image.cmdline) == (512, "console=ttyS0")
    config = obeyed_config(image)
    assert config is not None
    assert json.loads(config)["app"]["argv"] == ["/usr/bin/python3.11", "/app/server.pex"]
    kinds = {one["kind"] for one in json.loads(Path("dist/x.materials.json").read_bytes())["inputs"]}
    assert kinds == {"deb", "kernel", "runtime", "target", "wheel"}
    assert sorted(path.name for path in Path("dist").iterdir()) == ["x.eif", "x.materials.json", "x.pcrs.json"]


SIGNATURE = "signature:\n  certificate: sign.pem\n  key: elsewhere/key.pem\n"
IMAGE = "--kernel kernel --boot boot.cpio boot.json --app app.cpio app.json --manifest enclaver.yaml"
IMAGE += " --architecture x86_64 --output dist/x"
SIGNING = "--signing-certificate sign.pem --signing-key elsewhere/key.pem"
CHECK = "--manifest enclaver.yaml --certificate sign.pem --key elsewhere/key.pem"


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ec.EllipticCurvePrivateKey:
    """The working folder has all that the image stage wants, and a manifest that asks for a signature by this key."""
    monkeypatch.chdir(tmp_path)
    for folder in ("kernel", "elsewhere"):
        Path(folder).mkdir()
    Path("kernel/bzImage").write_bytes(bz_image())
    Path("kernel/cmdline").write_text("console=ttyS0")
    for name in ("boot", "app"):
        tree = Tree()
        tree.add_file(name, name.encode(), origin="enclaver")
        save_tree(tree, [], Path(f"{name}.cpio"), Path(f"{name}.json"))
    Path("enclaver.yaml").write_text(apps.MANIFEST + SIGNATURE)
    key = ec_key()
    Path("sign.pem").write_bytes(self_signed(key))
    Path("elsewhere/key.pem").write_bytes(key_pem(key))
    return key


def test_a_signed_image(signed: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(monkeypatch, "check_signing", *split(CHECK))
    execute(monkeypatch, "image", *split(f"{IMAGE} {SIGNING}"))
    image = read(Path("dist/x.eif"))
    assert image.signature is not None
    assert image.signature.problem(image.measurements.pcr0) is None
    first = Path("dist/x.eif").read_bytes()
    execute(monkeypatch, "image", *split(f"{IMAGE} {SIGNING}"))
    assert Path("dist/x.eif").read_bytes() == first
    # Nothing of the key is in what is left, nor where it was.
    secret = signed.private_numbers().private_value.to_bytes(32, "big")
    for path in Path("dist").iterdir():
        data = path.read_bytes()
        for leak in (secret, secret.hex().encode(), b"elsewhere", b"PRIVATE KEY", Path.cwd().name.encode()):
            assert leak not in data


def test_a_signature_is_neither_left_out_nor_invented(
    signed: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ManifestError, match="`signature`: the image is to be signed, and whoever builds it was given"):
        execute(monkeypatch, "image", *split(IMAGE))
    Path("enclaver.yaml").write_text(apps.MANIFEST)
    with pytest.raises(ManifestError, match="has no `signature`"):
        execute(monkeypatch, "image", *split(f"{IMAGE} {SIGNING}"))
    assert not Path("dist").exists()


def test_a_certificate_without_its_key_is_no_way_to_sign(
    signed: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        execute(monkeypatch, "image", *split(f"{IMAGE} --signing-certificate sign.pem"))
    assert "go together" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_unfit_to_sign_with_is_one_message_and_1(signed: ec.EllipticCurvePrivateKey, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    Path("sign.pem").write_bytes(self_signed(signed, last=yesterday))
    for name, arguments in (("check_signing", CHECK), ("image", f"{IMAGE} {SIGNING}")):
        done = start(name, tmp_path, *split(arguments))
        assert (done.returncode, done.stdout) == (1, "")
        assert "sign.pem: line 1: the certificate has expired" in done.stderr
        assert "Traceback" not in done.stderr
    assert not Path("dist").exists()


def test_an_image_to_one_that_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runners.runner(tmp_path / "runner")
    eif, manifest = runners.enclave(tmp_path / "enclave")
    program = tmp_path / "nitro-cli"
    program.write_bytes(b"#!/bin/dash\n")
    monkeypatch.chdir(tmp_path)
    tree = ("--tree", str(runner.tree[0]), "--entries", str(runner.tree[1]))
    wheels = ("--wheels", str(runner.wheels), "--wheel-lock", str(runner.wheel_lock))
    sources = [word for folder in runner.sources for word in ("--sources", str(folder))]
    enclave = ("--eif", str(eif), "--manifest", str(manifest), "--nitro-cli", "nitro-cli")
    names = split("--name x:1 --name x:2 --output dist/x")
    execute(monkeypatch, "target_image", *tree, *wheels, *sources, *enclave, *names)
    assert [path.name for path in Path("dist").iterdir()] == ["x.image.tar"]
    Path("work").mkdir()
    found = read_image(Path("dist/x.image.tar"), Path("work"), architecture="x86_64", reference="x:2")
    assert found.tree.get("usr/bin/nitro-cli")
    with pytest.raises(EnclaverError, match="needs vhost-device-vsock"):
        execute(monkeypatch, "target_image", *tree, *wheels, *sources, *enclave, *names, "--emulator")


def test_progress_goes_to_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with program.reporter(tmp_path / "log") as say:
        say("one")
        assert (tmp_path / "log").read_text() == "one\n"
    with program.reporter(None) as say:
        say("two")
    assert capsys.readouterr() == ("one\ntwo\n", "")
