"""`package` of every kind of app, and of kernels, in a user's repository."""

from __future__ import annotations

import pytest

from tests.certificates import Authority, ec_key
from tests.rules.repository import MANIFEST, Repository

pytestmark = pytest.mark.slow
IMAGE = 'enclave_image(name="enclave")'
TLS = "ingress:\n  - listen_port: 8443\n    tls:\n      key_file: cert/key.pem\n      cert_file: cert/chain.pem\n"
APPS = {
    "pex": "//server:server",
    "loose": "//server:loose",
    "script": "//files:script",
    "binary": "//files:binary",
    "archive": "//files:all",
    "resources": "//files:resources",
    "moved": "//files:moved",
}


@pytest.fixture(scope="module")
def packaged(repository: Repository) -> Repository:
    """Images of every kind, packaged at once: all tests of this module read them."""
    for folder, app in APPS.items():
        repository.image(folder, IMAGE, app=app)
    repository.write("neighbour/run.py", "#!/usr/bin/python3.11\n", mode=0o755)
    repository.image("neighbour", f'files(name="app", sources=["run.py"])\n{IMAGE}')
    for folder, fields in {
        "args": 'args=["-v"]',
        "env": 'env={"A": "b"}',
        "entrypoint": 'entrypoint=["/usr/bin/python3", "/app/run.py"]',
    }.items():
        repository.image(folder, f'enclave_image(name="enclave", {fields})', app="//files:script")
    repository.image(
        "override",
        'enclave_image(name="enclave", app="//files:two", entrypoint=["/app/other.py"], args=["-v"], env={"A": "b"},'
        ' output_path="elsewhere/enclave.eif")',
        app="registry.example.com/app:1",
        manifest="egress:\n  allow: [example.com]\ningress:\n  - listen_port: 8000\n",
    )
    folders = [*APPS, "neighbour", "args", "env", "entrypoint", "override"]
    repository.succeeds("package", "//:kernel", *(f"{folder}:enclave" for folder in folders))
    return repository


def test_an_app_says_what_runs(packaged: Repository) -> None:
    folders = [*APPS, "neighbour", "args", "entrypoint", "elsewhere"]
    assert {folder: packaged.obeyed(folder)["app"]["argv"] for folder in folders} == {
        "pex": ["/usr/bin/python3.11", "/app/server.pex"],
        "loose": ["/usr/bin/python3.11", "/app/loose.pex"],
        "script": ["/app/run.py"],
        "binary": ["/app/bin/server"],
        "archive": ["/app/files/run.py"],
        "resources": ["/app/run.py"],
        "moved": ["/app/elsewhere/run.py"],
        "neighbour": ["/app/run.py"],
        "args": ["/app/run.py", "-v"],
        "entrypoint": ["/usr/bin/python3", "/app/run.py"],
        "elsewhere": ["/app/other.py", "-v"],
    }


def test_files_lie_as_they_lie_below_their_target(packaged: Repository) -> None:
    assert packaged.paths("resources") == {"run.py", "data.txt"}
    assert packaged.paths("elsewhere") == {"run.py", "other.py"}
    assert "server.pex/server/main.py" in packaged.paths("pex")


def test_the_target_overrides_the_manifests_app_and_the_manifest_rules_the_rest(packaged: Repository) -> None:
    obeyed = packaged.obeyed("elsewhere")
    assert obeyed["app"]["env"]["A"] == "b"
    assert (obeyed["egress"]["allow"], obeyed["ingress"]) == (
        ["example.com"],
        [{"listen_port": 8000, "tls": None}],
    )


def test_materials_name_what_brought_each_file(packaged: Repository) -> None:
    ramdisks = packaged.materials("pex")["ramdisks"]
    origins = {entry["origin"] for ramdisk in ramdisks for entry in ramdisk["entries"]}
    assert {"target:server:server", "deb:base=1.0", "enclaver"} <= origins


@pytest.mark.parametrize("folder", ["args", "env", "entrypoint"])
def test_how_an_app_runs_changes_no_pcr1(packaged: Repository, folder: str) -> None:
    before, after = packaged.pcrs("script"), packaged.pcrs(folder)
    assert {name for name in before if before[name] != after[name]} == {"PCR0", "PCR2"}


def test_the_same_app_by_a_neighbours_address_is_the_same_image(packaged: Repository) -> None:
    assert packaged.pcrs("neighbour") == packaged.pcrs("script")


def test_dist_holds_an_image_with_what_tells_of_it_and_what_runs_it_and_a_kernel_as_its_folder(
    packaged: Repository,
) -> None:
    dist = packaged.root / "dist"
    for folder in ("script", "elsewhere"):
        assert sorted(path.name for path in (dist / folder).iterdir()) == [
            "enclave.eif",
            "enclave.image.tar",
            "enclave.materials.json",
            "enclave.pcrs.json",
        ]
    assert sorted(path.name for path in (dist / "kernel").iterdir()) == ["bzImage", "cmdline"]


def test_a_second_run_runs_nothing(packaged: Repository) -> None:
    again = packaged.succeeds("package", *(f"{folder}:enclave" for folder in APPS))
    assert "Starting: " not in again.stderr
    changed = packaged.root / "script" / "enclaver.yaml"
    changed.write_text(f"# {packaged.root}\n{changed.read_text()}")
    assert "Starting: Assemble script:enclave" in packaged.succeeds("package", "script:enclave").stderr
    # Without the daemon, and without any other backend: the processes' results come from the store.
    again = packaged.succeeds(
        "--backend-packages=['enclaver']", "package", "script:enclave", "neighbour:enclave", daemon=False
    )
    assert "Starting: " not in again.stderr


def test_tls_files_are_found_beside_the_manifest_and_another_certificate_is_another_image(
    repository: Repository,
) -> None:
    repository.image("tls", IMAGE, app="//files:script", manifest=TLS)
    repository.write("other/enclaver.yaml", MANIFEST.format(name="tls", app="//files:script") + TLS)
    repository.write("other/BUILD", 'enclave_image(name="enclave", output_path="other/enclave.eif")')
    authority, server_key = Authority(), ec_key()
    identity = authority.identity(server_key)
    for folder in ("tls", "other"):
        repository.write(f"{folder}/cert/chain.pem", b"# of " + folder.encode() + b"\n" + identity.chain)
        repository.write(f"{folder}/cert/key.pem", identity.key)
    repository.succeeds("package", "tls:enclave", "other:enclave")
    assert repository.obeyed("tls")["ingress"] == [
        {
            "listen_port": 8443,
            "tls": {"cert_file": "/etc/enclaver/tls/8443/cert.pem", "key_file": "/etc/enclaver/tls/8443/key.pem"},
        }
    ]
    materials = repository.materials("tls")
    assert {one["name"] for one in materials["inputs"] if one["kind"] == "file"} == {"cert/chain.pem", "cert/key.pem"}
    (key,) = (
        entry
        for ramdisk in materials["ramdisks"]
        for entry in ramdisk["entries"]
        if entry["path"] == "etc/enclaver/tls/8443/key.pem"
    )
    assert (key["mode"], key["origin"]) == ("0400", "file:cert/key.pem")
    before = repository.pcrs("tls")
    assert repository.pcrs("other") == before
    repository.write("tls/cert/chain.pem", authority.identity(server_key).chain)
    said = repository.succeeds("package", "tls:enclave", "other:enclave").stderr
    assert "Starting: Make the app ramdisk of tls:enclave" in said
    assert "other:enclave" not in "".join(line for line in said.splitlines() if "Starting: " in line)
    after = repository.pcrs("tls")
    assert {name for name in before if before[name] != after[name]} == {"PCR0", "PCR2"}
