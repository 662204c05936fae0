"""What `enclaver build` makes of its arguments; whole builds are tests/integration/images'."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from enclaver.build import preflight, standalone
from enclaver.build.image_lock import Source
from enclaver.build.ramdisks import Fetching
from enclaver.build.runner_tools import Tools
from enclaver.build.standalone import Built, Request
from enclaver.cli import build
from enclaver.core.errors import EnclaverError
from enclaver.core.oci import digest, reference
from enclaver.core.oci.image_lock import LockedImage
from enclaver.core.pcr.measure import Measurements
from tests.certificates import Authority, ec_key, key_pem, self_signed

MANIFEST = "version: v1\nname: x\ntarget: x-enclave:1\nsources:\n  app: app:1\n"
ID = "sha256:" + "1" * 64
DIGEST = "sha256:" + "2" * 64


class Builds:
    """Stands in for the build and notes what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.request: Request | None = None
        self.fetching: Fetching | None = None
        self.output = Path()
        self.files: dict[str, bytes] = {}
        self.checked: dict[str, object] = {}
        monkeypatch.setattr(preflight, "check", self.check)
        monkeypatch.setattr(standalone, "eif", self.eif)
        monkeypatch.setattr(standalone, "target", self.target)

    def check(self, request: Request, **given: object) -> None:
        self.checked = given

    def eif(self, request: Request, output: Path, work: Path, *, fetching: Fetching, registries: object) -> Built:
        self.request, self.output, self.fetching = request, output, fetching
        folder = request.file.parent
        self.files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
        fetching.progress("a line")
        app = reference.parse("app:1")
        return Built(app, LockedImage(None, digest.parse(ID)), Measurements(bytes(48), bytes(48), bytes(48)))

    def target(self, request: Request, eif: Path, output: Path, work: Path, *, fetching: Fetching) -> digest.Digest:
        assert eif == self.output
        output.write_bytes(b"an archive")
        return digest.parse(DIGEST)

    @property
    def asked(self) -> Request:
        assert self.request is not None
        return self.request


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    return Builds(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enclaver.yaml").write_text(MANIFEST)
    return tmp_path


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    build.configure(parser)
    return build.run(parser.parse_args(arguments))


def test_the_summary_says_what_it_was_made_of_and_what_it_measures(
    folder: Path, builds: Builds, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--eif-only", "out.eif") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "Sources": {"App": {"Name": "app:1", "Digest": None, "ID": ID}},
        "Measurements": {
            "HashAlgorithm": "Sha384 { ... }",
            "PCR0": "0" * 96,
            "PCR1": "0" * 96,
            "PCR2": "0" * 96,
        },
        "EIF": "out.eif",
    }
    assert printed.err == "a line\n"
    assert builds.output == Path("out.eif")
    assert builds.fetching is not None
    assert builds.checked == {"output": Path("out.eif"), "loads": False, "cache": builds.fetching.cache}


def test_a_container_image_may_be_written_without_a_daemon(
    folder: Path, builds: Builds, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--archive", "x.tar") == 0
    image = json.loads(capsys.readouterr().out)["Image"]
    assert image == {"Name": "x-enclave:1", "Digest": DIGEST, "Archive": "x.tar"}
    assert (folder / "x.tar").read_bytes() == b"an archive"
    assert (builds.checked["output"], builds.checked["loads"]) == (Path("x.tar"), False)


def test_defaults(folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    run("--eif-only", "out.eif")
    asked = builds.asked
    assert (asked.architecture, asked.builder, asked.source) == ("x86_64", "native", Source.AUTO)
    assert (asked.lock, asked.kernel, asked.signer) == (None, None, None)
    assert builds.files == {"enclaver.yaml": MANIFEST.encode()}
    assert builds.fetching is not None
    assert builds.fetching.cache == folder / "cache" / "enclaver"


@pytest.mark.parametrize("elsewhere", ["", "relative/cache"])
def test_a_cache_that_nobody_chose_is_in_the_home_folder(
    folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", elsewhere)
    monkeypatch.setenv("HOME", str(folder / "home"))
    run("--eif-only", "out.eif")
    assert builds.fetching is not None
    assert builds.fetching.cache == folder / "home" / ".cache" / "enclaver"


def test_without_a_home_folder_there_has_to_be_a_cache(
    folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(EnclaverError, match="no home folder(.|\n)*--cache"):
        run("--eif-only", "out.eif")
    assert run("--eif-only", "out.eif", "--cache", "c") == 0


def test_options(folder: Path, builds: Builds) -> None:
    (folder / "enclave.images.lock").write_text("{}")
    run(
        *("--archive", "out.tar", "--pull", "--builder", "nitro-cli", "--kernel", "k", "--architecture", "aarch64"),
        *("--emulator", "--nitro-cli", "n", "--vhost-device-vsock", "v", "--drop-xattrs", "--cache", "c"),
        *("--mirror", "file:///m", "--index", "i"),
    )
    asked = builds.asked
    assert (asked.architecture, asked.builder, asked.source) == ("aarch64", "nitro-cli", Source.REGISTRY)
    assert (asked.lock, asked.kernel, asked.drop_xattrs) == (Path("enclave.images.lock"), Path("k"), True)
    assert asked.tools == Tools(Path("n"), Path("v"), True)
    assert asked.nitro_cli_program == Path("n")
    assert builds.fetching is not None
    assert (builds.fetching.cache, builds.fetching.mirrors) == (Path("c"), ["file:///m"])
    assert builds.fetching.indexes == ["i"]


def test_a_manifest_of_standard_input_has_its_files_from_the_current_folder(
    folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tls").mkdir()
    key = ec_key()
    (folder / "tls" / "k.pem").write_bytes(key_pem(key))
    (folder / "c.pem").write_bytes(Authority().certificate(key))
    text = MANIFEST + "ingress:\n  - listen_port: 1\n    tls: {key_file: tls/k.pem, cert_file: c.pem}\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    before = sorted(folder.rglob("*"))
    run("-f", "-", "--eif-only", "out.eif")
    assert builds.files == {
        "enclaver.yaml": text.encode(),
        **{name: (folder / name).read_bytes() for name in ("tls/k.pem", "c.pem")},
    }
    assert sorted(folder.rglob("*")) == before


def test_what_is_edited_while_it_is_built_is_not_what_is_built(folder: Path, builds: Builds) -> None:
    run("--eif-only", "out.eif")
    # Nobody edits what lies in the work folder.
    assert not builds.asked.file.absolute().is_relative_to(folder)
    assert builds.files == {"enclaver.yaml": MANIFEST.encode()}


@pytest.mark.parametrize("tls", ["{key_file: k.pem, cert_file: c.pem}", "{key_file: tls/k.pem, cert_file: tls/c.pem}"])
@pytest.mark.parametrize("file", ["-", "enclaver.yaml"])
def test_files_of_the_manifest_that_are_unfit_are_told_at_its_lines(
    folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch, file: str, tls: str
) -> None:
    (folder / "tls").mkdir()
    for name in ("k.pem", "c.pem"):
        (folder / "tls" / name).write_text("none")
    text = MANIFEST + f"ingress:\n  - listen_port: 1\n    tls: {tls}\n"
    (folder / "enclaver.yaml").write_text(text)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    name = "<stdin>" if file == "-" else file
    with pytest.raises(EnclaverError, match=rf"{name}:8:[0-9]+: `ingress\[0\]\.tls\.cert_file`"):
        run("-f", file, "--eif-only", "out.eif")
    assert builds.request is None


@pytest.mark.parametrize("option", ["--emulator", "--vhost-device-vsock=v", "--nitro-cli=n"])
def test_what_is_for_the_container_image_is_refused_where_none_is_made(
    folder: Path, builds: Builds, option: str
) -> None:
    with pytest.raises(EnclaverError, match=f"^{option.partition('=')[0]} is for the container image"):
        run("--eif-only", "out.eif", option)
    assert builds.request is None


def test_who_builds_may_be_named_without_a_container_image(folder: Path, builds: Builds) -> None:
    run("--eif-only", "out.eif", "--nitro-cli", "n", "--builder", "nitro-cli")
    assert builds.asked.nitro_cli_program == Path("n")


def test_the_work_folder_goes(folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    run("--archive", "x.tar")
    assert builds.output.parent.parent == folder / "tmp"
    assert list((folder / "tmp").iterdir()) == []


def test_who_signs_is_loaded_before_anything_is_built(folder: Path, builds: Builds) -> None:
    key = ec_key()
    (folder / "c.pem").write_bytes(self_signed(key))
    (folder / "k.pem").write_bytes(key_pem(key))
    signed = MANIFEST + "signature: {certificate: c.pem, key: k.pem}\n"
    (folder / "enclaver.yaml").write_text(signed)
    run("--eif-only", "out.eif")
    assert builds.asked.signer is not None
    builds.request = None
    (folder / "k.pem").write_bytes(key_pem(ec_key()))
    with pytest.raises(EnclaverError, match="signature"):
        run("--eif-only", "out.eif")
    assert builds.request is None


def test_a_key_s_file_may_be_named_as_keys_in_kms_are(folder: Path, builds: Builds) -> None:
    key = ec_key()
    name = "arn:aws:kms:eu-west-1:111122223333:key/k.pem"
    (folder / name).parent.mkdir()
    (folder / name).write_bytes(key_pem(key))
    (folder / "c.pem").write_bytes(self_signed(key))
    (folder / "enclaver.yaml").write_text(MANIFEST + f'signature: {{certificate: c.pem, key: "./{name}"}}\n')
    run("--eif-only", "out.eif")
    assert builds.asked.signer is not None


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        (MANIFEST.replace("target: x-enclave:1\n", ""), "names no `target`"),
        (MANIFEST.replace("app: app:1", "app: :server"), "which only Pants can build"),
    ],
)
def test_what_cannot_be_built_is_refused_first(folder: Path, builds: Builds, manifest: str, what: str) -> None:
    (folder / "enclaver.yaml").write_text(manifest)
    with pytest.raises(EnclaverError, match=what):
        run()
    assert builds.request is None


def test_a_daemon_that_is_not_there(folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/gone.sock")
    with pytest.raises(EnclaverError, match="docker daemon"):
        run()
