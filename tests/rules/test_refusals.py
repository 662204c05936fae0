"""What `package` refuses: one message that names what is wrong, and nothing in dist."""

from __future__ import annotations

import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.certificates import ec_key, encrypted_pem, key_pem, self_signed
from tests.rules.repository import Repository

pytestmark = pytest.mark.slow
SCRIPT = "//files:script"
IMAGE = 'enclave_image(name="enclave")'


def refused(repository: Repository, folder: str, build: str, app: str = SCRIPT, manifest: str = "") -> str:
    """Write an image, see it refused, and take it away: a BUILD file that Pants can't read spoils `::` for others."""
    repository.image(folder, build, app=app, manifest=manifest)
    try:
        return repository.refused(f"{folder}:enclave")
    finally:
        shutil.rmtree(repository.root / folder)


SIGNATURE = "signature:\n  certificate: sign/cert.pem\n  key: sign/key.pem\n"


def test_a_certificate_that_is_not_there(repository: Repository) -> None:
    said = refused(repository, "unsigned", IMAGE, manifest=SIGNATURE)
    assert "unsigned/enclaver.yaml:7:3: `signature.certificate`: there is no file unsigned/sign/cert.pem that" in said


def test_a_key_that_is_not_the_certificates(repository: Repository) -> None:
    repository.write("signed/sign/cert.pem", self_signed(ec_key()))
    repository.write("signed/sign/key.pem", key_pem(ec_key(ec.SECP256R1())))
    said = refused(repository, "signed", IMAGE, manifest=SIGNATURE)
    assert "signed/enclaver.yaml:8:3: `signature.key`" in said


TLS = "ingress:\n  - listen_port: 8443\n    tls:\n      key_file: tls/key.pem\n      cert_file: tls/chain.pem\n"


def test_tls_files_that_are_not_there(repository: Repository) -> None:
    said = refused(repository, "web", IMAGE, manifest=TLS)
    for line, key, name in ((9, "key_file", "key.pem"), (10, "cert_file", "chain.pem")):
        assert f"web/enclaver.yaml:{line}:7: `ingress[0].tls.{key}`: there is no file web/tls/{name} that Pants" in said
    assert "pants_ignore" in said


def test_tls_files_that_are_unfit(repository: Repository) -> None:
    repository.write("web/tls/key.pem", encrypted_pem(ec_key()))
    repository.write("web/tls/chain.pem", "no certificate\n")
    said = refused(repository, "web", IMAGE, manifest=TLS)
    assert (
        "web/enclaver.yaml:9:7: `ingress[0].tls.key_file`: web/tls/key.pem: line 1: the private key is encrypted"
        in said
    )
    assert "openssl pkey" in said
    assert "web/enclaver.yaml:10:7: `ingress[0].tls.cert_file`: web/tls/chain.pem: holds no certificate in PEM" in said


@pytest.mark.parametrize(
    ("app", "what"),
    [
        ("app:1", "Run `./pants enclave-lock apps:enclave`"),
        ("//server:lib", "`sources.app` of apps/enclaver.yaml: //server:lib is nothing that can be laid"),
        ("//files:nothing", "(target)"),
        ("//files:two", "/app/other.py, /app/run.py"),
        ("//:kernel", "(enclave_kernel)"),
        (":enclave", "(enclave_image)"),
        ("//files:no-such", "`sources.app` of apps/enclaver.yaml"),
        ("//no/such/folder", "`sources.app` of apps/enclaver.yaml"),
    ],
)
def test_apps(repository: Repository, app: str, what: str) -> None:
    assert what in refused(repository, "apps", IMAGE, app)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ('base="//server:lib"', "the `base` of fields:enclave: //server:lib is no enclave_base"),
        ('kernel="//:base"', "the `kernel` of fields:enclave: //:base is no enclave_kernel"),
        ('architecture="aarch64"', "no kernel for aarch64"),
        ("emulator=True", "Set `[enclaver].vhost_device_vsock`"),
        ('builder="linuxkit"', "linuxkit"),
        ('architecture="aarch64", base="//:base", kernel="//:kernel"', "a kernel for x86_64, the image is for aarch64"),
        ('architecture="riscv64"', "riscv64"),
        ('app=""', "The `app` field in target fields:enclave is empty"),
        ('base=" "', "The `base` field in target fields:enclave is empty"),
        ('manifest=""', "The `manifest` field in target fields:enclave is empty"),
        ('entrypoint=["run.py"]', "the entrypoint run.py is no"),
        ('env={"A=B": "c"}', "cannot be the name of an environment variable"),
        ('output_path="../out"', "outside the distribution folder"),
    ],
)
def test_fields(repository: Repository, fields: str, what: str) -> None:
    assert what in refused(repository, "fields", f'enclave_image(name="enclave", {fields})')


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ("", "either `sources` or all of"),
        ('config="a.json"', "either `sources` or all of"),
        ('sources=["bzImage", "cmdline"], config="a.json"', "either `sources` or all of"),
        ('source_lock="none.json", config="a.json", toolchain="//:base"', "`source_lock` is 'none.json'"),
        (
            'source_lock="a.json", config="a.json", toolchain=":k"',
            "the `toolchain` of kernels:k: :k is no enclave_base",
        ),
        ('sources=["none*"]', "`sources` matches no file"),
        ('sources=["bzImage", "other/bzImage"]', "files of the same name"),
        ('sources=["cmdline"]', "bzImage"),
        ('sources=["bzImage"]', "cmdline"),
        ('sources=["bzImage", "cmdline"]', "aarch64"),
    ],
)
def test_kernels(repository: Repository, fields: str, what: str) -> None:
    repository.kernel("kernels/bzImage", 56, b"ARM\x64")
    repository.kernel("kernels/other/bzImage", 0x202, b"HdrS")
    repository.write("kernels/cmdline", "console=ttyS0")
    repository.write("kernels/a.json", "{}")
    build = f'enclave_kernel(name="k", {fields})\nenclave_image(name="enclave", kernel=":k")'
    assert what in refused(repository, "kernels", build)


def test_nitro_cli_with_a_kernel_from_source(repository: Repository) -> None:
    repository.write("blobs/a.json", "{}")
    build = (
        'enclave_kernel(name="k", source_lock="a.json", config="a.json", toolchain="//:base")\n'
        'enclave_image(name="enclave", kernel=":k", builder="nitro-cli")'
    )
    said = refused(repository, "blobs", build)
    assert "nitro-cli takes its kernel from a folder of blobs, and blobs:k is built from source" in said
    assert "Name an enclave_kernel in `kernel`" in said


def test_a_mirror_with_other_bytes(repository: Repository) -> None:
    lock = json.loads((repository.root / "base.lock.json").read_bytes())
    lock["packages"][0]["sha256"] = "0" * 64
    repository.write("tampered/l.json", json.dumps(lock, sort_keys=True, separators=(",", ":")) + "\n")
    build = 'enclave_base(name="b", lock="l.json")\nenclave_image(name="enclave", base=":b")'
    said = refused(repository, "tampered", build)
    assert "sha256" in said
    assert "base" in said
